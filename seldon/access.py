"""Who may do what: bearer tokens with scopes, of which the server knows only the digests.

A line of the tokens file is `scope[,scope] sha256-of-token [name]`; blank lines and lines that begin with #
mean nothing. Two lines may have one name: while a token is replaced, both are valid.

    predict,feedback 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08 shop

The name becomes the source of the feedback that comes with the token (`rest:shop`), so what a bad sender
taught can be removed afterwards: `odl replay --without rest:shop`.

>>> access = parse_tokens("predict " + token_digest("s3cret") + " shop")
>>> access.admit("Bearer s3cret", Scope.PREDICT).name
'shop'
>>> access.admit("Bearer s3cret", Scope.FEEDBACK)
Traceback (most recent call last):
odl.errors.InvalidEvent: expected a token with the scope feedback, received one with predict
"""

import hashlib
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from odl.errors import InvalidEvent, Misconfigured
from seldon.intake import CLIENT

TOKENS_MAX = 256  # every request is compared with each, at 0.2 µs: nobody's answer tells how far it got
BYTES_MAX = 1 << 20  # of the file
_DIGEST = re.compile(r"[0-9a-fA-F]{64}")


class Scope(StrEnum):
    """What a token allows; none includes another."""

    PREDICT = "predict"
    FEEDBACK = "feedback"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Grant:
    """What the holder of one token may do."""

    scopes: frozenset[Scope]
    name: str = ""  # becomes the source of feedback; empty: the sender's X-Client-Id does


class Access:
    """The tokens of a server."""

    def __init__(self, tokens: Sequence[tuple[bytes, Grant]]) -> None:
        """`tokens`: SHA-256 of each, and what it grants."""
        self._tokens = tuple(tokens)

    def admit(self, authorization: str, need: Scope | None) -> Grant:
        """The grant of the header `Authorization`; `need` None: any token will do. Raises `InvalidEvent`: 401
        without a known token, 403 when the known one does not allow it."""
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise _unauthorized("expected the header `Authorization: Bearer TOKEN`, received none")
        digest = hashlib.sha256(token.strip().encode("utf-8", "surrogateescape")).digest()
        found = None
        for known, grant in self._tokens:  # all of them, whichever fits
            if hmac.compare_digest(known, digest):
                found = grant
        if found is None:
            raise _unauthorized("expected a token of this server, received an unknown one")
        if need is not None and need not in found.scopes:
            scopes = ", ".join(sorted(found.scopes))
            raise InvalidEvent(
                f"expected a token with the scope {need}, received one with {scopes}",
                status=403,
                reason="FORBIDDEN",
            )
        return found


def token_digest(token: str) -> str:
    """What stands in the tokens file for a token: its SHA-256 in hexadecimal digits, as `sha256sum` prints.
    One unsalted hash will do, since tokens are random (`openssl rand -hex 32`), not what people remember."""
    return hashlib.sha256(token.encode()).hexdigest()


def load_tokens(path: str | Path) -> Access:
    """The tokens of a file. Raises `Misconfigured` naming the line, never showing it."""
    try:
        with Path(path).open("rb") as file:
            text = file.read(BYTES_MAX + 1).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured(f"the tokens file {path} cannot be read: {error}") from error
    return parse_tokens(text, f"the tokens file {path}")


def parse_tokens(text: str, origin: str = "the tokens file") -> Access:
    """The tokens of a text. Raises `Misconfigured`; a file without tokens is refused, since nobody could
    use such a server, and whoever meant to open it leaves the file out."""
    tokens = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if words and not words[0].startswith("#"):
            tokens.append(_token(words, f"{origin}, line {number}"))
    if not 1 <= len(tokens) <= TOKENS_MAX:
        raise Misconfigured(f"{origin}: expected 1 to {TOKENS_MAX} tokens, found {len(tokens)}")
    return Access(tokens)


def _token(words: list[str], where: str) -> tuple[bytes, Grant]:
    if not 2 <= len(words) <= 3 or not _DIGEST.fullmatch(words[1]):
        # The line is not shown: somebody may have written the token itself.
        raise Misconfigured(f"{where}: expected `scope[,scope] sha256-of-token [name]`")
    known = {scope.value: scope for scope in Scope}
    scopes = words[0].split(",")
    if not set(scopes) <= known.keys():
        raise Misconfigured(f"{where}: expected scopes out of {', '.join(known)}")
    name = words[2] if len(words) == 3 else ""
    if name and not CLIENT.fullmatch(name):
        raise Misconfigured(
            f"{where}: expected a name of 1 to 64 letters, digits, dots, dashes and underscores"
        )
    return bytes.fromhex(words[1]), Grant(frozenset(known[scope] for scope in scopes), name)


def _unauthorized(sentence: str) -> InvalidEvent:
    return InvalidEvent(sentence, status=401, reason="UNAUTHORIZED")
