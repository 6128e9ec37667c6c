"""The integration gate: a running server answers the contract, and with the candidate's own probabilities."""

import math
from collections.abc import Callable, Sequence
from functools import partial

import httpx

from odl.event import Features, Prediction
from odl.gate import Check, Predictor

PATH = "/api/v1.0/predictions"
TOLERANCE = 1e-6  # between the server's probabilities and those of the file at hand
SECONDS_MAX = 10.0  # a server that takes longer for one answer does not serve


def integration_gate(url: str, candidate: Predictor, version: int, rows: Sequence[Features]) -> list[Check]:
    """Ask a server at `url` what any client will ask it."""
    with httpx.Client(base_url=url, timeout=SECONDS_MAX) as client:
        checks = [
            _check(f"GET {path}", partial(_found, client, path, 200), "200")
            for path in ("/live", "/ready", "/metadata", "/metrics")
        ]
        checks.append(_check("version", lambda: _version(client, rows, version), str(version)))
        checks.append(
            _check("named features", lambda: _named(client, candidate, rows), f"the file's to {TOLERANCE:g}")
        )
        checks.append(_check("malformed", lambda: _malformed(client), "400 and a reason"))
        checks.append(
            _check("not finite", lambda: _refused(client, b'{"jsonData": {"x": 1e999}}'), "4xx and a reason")
        )
        checks.append(_check("nothing there", partial(_found, client, "/nothing-there", 404), "404"))
    return checks


def _check(name: str, ask: Callable[[], tuple[bool, str]], wanted: str) -> Check:
    try:
        passed, found = ask()
    except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
        passed, found = False, f"{type(error).__name__}: {error}"
    return Check("integration", name, passed, found, wanted)


def _found(client: httpx.Client, path: str, wanted: int) -> tuple[bool, str]:
    status = client.get(path).status_code
    return status == wanted, str(status)


def _version(client: httpx.Client, rows: Sequence[Features], version: int) -> tuple[bool, str]:
    answer = client.post(PATH, json={"jsonData": rows[0]}).json()
    found = answer["meta"]["tags"]["version"]
    return found == version, str(found)


def _named(client: httpx.Client, candidate: Predictor, rows: Sequence[Features]) -> tuple[bool, str]:
    """One by one and as a batch."""
    batch = client.post(PATH, json={"jsonData": list(rows)}).json()["jsonData"]
    worst = 0.0
    for row, together in zip(rows, batch, strict=True):
        alone = client.post(PATH, json={"jsonData": row}).json()["jsonData"]
        expected = candidate.predict_one(row)
        worst = max(worst, _distance(alone, expected), _distance(together, expected))
    return worst <= TOLERANCE, f"within {worst:.1e}"


def _distance(answer: dict[str, float], expected: Prediction) -> float:
    if not isinstance(expected, dict):
        return abs(next(iter(answer.values())) - expected) / max(1.0, abs(expected))
    if answer.keys() != expected.keys():
        return math.inf
    return max((abs(answer[name] - expected[name]) for name in expected), default=0.0)


def _malformed(client: httpx.Client) -> tuple[bool, str]:
    response = client.post(PATH, content=b"{", headers={"content-type": "application/json"})
    reason = response.json().get("status", {}).get("info", "")
    return response.status_code == 400 and bool(reason), f"{response.status_code} {reason}"


def _refused(client: httpx.Client, body: bytes) -> tuple[bool, str]:
    response = client.post(PATH, content=body, headers={"content-type": "application/json"})
    reason = response.json().get("status", {}).get("info", "")
    return 400 <= response.status_code < 500 and bool(reason), f"{response.status_code} {reason}"
