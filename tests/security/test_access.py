"""Tokens: what a line of their file may say, and what each of them opens."""

import hashlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from odl.errors import InvalidEvent, Misconfigured
from seldon.access import TOKENS_MAX, Scope, load_tokens, parse_tokens, token_digest
from seldon.app import App
from seldon.guard import _OPENABLE, _SCOPES, MODELS, Guard
from seldon.metrics import PlaneMetrics

FILE = f"""
# who         digest
predict          {token_digest("p-token")}
feedback         {token_digest("f-token")} shop
feedback         {token_digest("f-token-new")} shop
predict,feedback {token_digest("both")} clinic
admin            {token_digest("a-token")} operator
"""


def refused(authorization: str, need: Scope | None = None) -> InvalidEvent:
    with pytest.raises(InvalidEvent) as caught:
        parse_tokens(FILE).admit(authorization, need)
    return caught.value


@pytest.mark.parametrize(
    ("token", "allowed"),
    [
        ("p-token", {Scope.PREDICT}),
        ("f-token", {Scope.FEEDBACK}),
        ("both", {Scope.PREDICT, Scope.FEEDBACK}),
        ("a-token", {Scope.ADMIN}),
    ],
)
def test_a_token_opens_its_scopes_and_no_others(token: str, allowed: set[Scope]) -> None:
    for scope in Scope:
        if scope in allowed:
            assert scope in parse_tokens(FILE).admit(f"Bearer {token}", scope).scopes
        else:
            error = refused(f"Bearer {token}", scope)
            assert (error.status, error.reason) == (403, "FORBIDDEN")
            assert token not in str(error)


@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer", "Bearer ", "Basic cC10b2tlbg==", "p-token", "Bearer p-toke", "Bearer p-token2",
     f"Bearer {token_digest('p-token')}", "Bearer \udcff", "Bearer " + "x" * 50_000],
)  # fmt: skip
def test_without_a_known_token_nothing_opens(authorization: str) -> None:
    error = refused(authorization)
    assert (error.status, error.reason) == (401, "UNAUTHORIZED")
    assert "p-token" not in str(error) and len(str(error)) < 200


def test_the_scheme_is_spelt_in_any_case_and_two_tokens_may_have_one_name() -> None:
    access = parse_tokens(FILE)
    assert (
        access.admit("bearer f-token", None).name == access.admit("BEARER  f-token-new ", None).name == "shop"
    )


def test_every_token_is_compared_with_whichever_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time of an answer must not tell which line of the file was right, or how much of it."""
    compared: list[bytes] = []
    access = parse_tokens(FILE)
    monkeypatch.setattr(
        "seldon.access.hmac.compare_digest", lambda one, other: compared.append(one) or one == other
    )
    access.admit("Bearer p-token", None)
    assert len(compared) == 5


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("", "expected 1 to"),
        ("# nobody", "expected 1 to"),
        ("predict", "line 1: expected `scope"),
        ("predict s3cret-in-plain", "line 1: expected `scope"),
        (f"predict {token_digest('x')} a b", "line 1: expected `scope"),
        (f"\nroot {token_digest('x')}", "line 2: expected scopes out of predict, feedback, admin"),
        (f"predict, {token_digest('x')}", "expected scopes"),
        (f"predict {token_digest('x')} a:b", "expected a name"),
        (f"predict {token_digest('x')}\n" * (TOKENS_MAX + 1), "expected 1 to"),
    ],
)
def test_a_file_that_is_wrong_is_refused_by_line_and_never_shown(text: str, hint: str) -> None:
    with pytest.raises(Misconfigured, match=hint) as caught:
        parse_tokens(text)
    assert "s3cret" not in str(caught.value)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="cannot be read"):
        load_tokens(tmp_path / "none")
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    with pytest.raises(Misconfigured, match="cannot be read"):
        load_tokens(tmp_path / "bytes")


def test_the_digest_is_what_sha256sum_prints() -> None:
    assert token_digest("abc") == hashlib.sha256(b"abc").hexdigest()


def test_a_path_that_nobody_stated_needs_admin() -> None:
    guard = Guard(parse_tokens(FILE))
    guard.admit("/new", {"authorization": "Bearer a-token"})
    with pytest.raises(InvalidEvent, match="scope admin"):
        guard.admit("/new", {"authorization": "Bearer both"})


def test_what_is_not_opened_needs_a_token_of_any_scope() -> None:
    guard = Guard(parse_tokens(FILE), opened=("health",))
    guard.admit("/ready", {})
    for path in ("/metrics", "/status", "/"):
        with pytest.raises(InvalidEvent):
            guard.admit(path, {})
        guard.admit(path, {"authorization": "Bearer f-token"})


def test_without_tokens_everybody_may_and_says_who_it_is() -> None:
    guard = Guard()
    guard.admit("/new", {})
    guard.allow(Scope.ADMIN, "")
    assert guard.client({"x-client-id": "shop"}) == "shop"
    assert guard.client({}) == ""


def test_a_token_with_a_name_says_who_it_is_whatever_the_sender_says() -> None:
    guard = Guard(parse_tokens(FILE))
    assert guard.client({"authorization": "Bearer f-token", "x-client-id": "clinic"}) == "shop"
    assert guard.client({"authorization": "Bearer p-token", "x-client-id": "clinic"}) == "clinic"


def test_every_route_of_the_server_has_a_stated_need() -> None:
    """Who adds a route says in `seldon.guard` what it needs; otherwise it is closed to all but admin."""
    replica = SimpleNamespace(fold_id="f", schema=None)
    service: Any = SimpleNamespace(
        name="m",
        guard=Guard(),
        replica=replica,
        plane=None,
        task="binary",
        fields={},
        classes=(),
        metrics=PlaneMetrics(),
        tracer=None,
        shortcut=lambda: None,
        appender=lambda: None,
    )
    app = App(service)
    try:
        for path in app._routes:
            group = path in _OPENABLE or path.startswith(MODELS)
            assert group or path in _SCOPES, f"{path} is not in seldon/guard.py"
    finally:
        app.close()
