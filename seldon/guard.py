"""The guard of a server's paths: what each one needs, and who a request comes from.

What a path needs is decided here for all of them. A path that is not known needs the scope admin, so that a
route which somebody adds later is closed until its need is stated.
"""

from collections.abc import Collection
from typing import Any

from odl.config import OPEN_ALL
from seldon.access import Access, Scope

CLIENT_HEADER = "x-client-id"

HEALTH = (
    *("/health/ping", "/health/status", "/api/v1.0/health/status", "/live", "/ready"),
    *("/v2/health/live", "/v2/health/ready"),
)
METRICS = ("/metrics",)
STATUS = (
    "/",
    "/events",
    "/page.svg",
    "/page.css",
    "/page.js",
    "/page_charts.js",
    "/page_form.js",
    "/status",
    "/metadata",
    "/api/v1.0/metadata",
    "/openapi.json",
    "/docs",
    "/contract.json",
    "/v2",
)
MODELS = "/v2/models/"  # below it: metadata, readiness, and what predicts
INFER = "/infer"
_PREDICT = ("/api/v1.0/predictions", "/api/v0.1/predictions", "/predict")
_FEEDBACK = ("/api/v1.0/feedback", "/api/v0.1/feedback", "/send-feedback")

_OPENABLE = {
    **dict.fromkeys(HEALTH, "health"),
    **dict.fromkeys(METRICS, "metrics"),
    **dict.fromkeys(STATUS, "status"),
}
_SCOPES = {
    **dict.fromkeys(_PREDICT, Scope.PREDICT),
    **dict.fromkeys(_FEEDBACK, Scope.FEEDBACK),
    "/dead-letters": Scope.ADMIN,  # other people's features and labels
}


class Guard:
    """Lets requests pass or refuses them. Without tokens everybody may do everything."""

    def __init__(self, access: Access | None = None, opened: Collection[str] = OPEN_ALL) -> None:
        """`opened`: which of `health`, `metrics` and `status` are answered without a token."""
        self._access = access
        self._opened = frozenset(opened)

    def admit(self, path: str, headers: Any) -> None:
        """Raise `InvalidEvent` (401, 403) unless a request with `headers` may go to `path`."""
        if self._access is None:
            return
        group = _OPENABLE.get(path)
        if path.startswith(MODELS) and not path.endswith(INFER):
            group = "health" if path.endswith("/ready") else "status"
        if group in self._opened:
            return
        need = None if group is not None else _need(path)
        self._access.admit(headers.get("authorization", ""), need)

    @property
    def asks_for_tokens(self) -> bool:
        """Whether anything here needs a token."""
        return self._access is not None

    @property
    def shows_status_to_strangers(self) -> bool:
        """Whether who may neither predict nor feed back sees the status all the same: then it must not show
        what others sent."""
        return self._access is not None and "status" in self._opened

    def allow(self, need: Scope, authorization: str) -> None:
        """The same for a call without a path, as gRPC has them."""
        if self._access is not None:
            self._access.admit(authorization, need)

    def client(self, headers: Any) -> str:
        """Who sends: the name of the token, else what the sender calls itself; empty if it does not say."""
        name = ""
        if self._access is not None:
            name = self._access.admit(headers.get("authorization", ""), None).name
        return name or str(headers.get(CLIENT_HEADER, ""))


def _need(path: str) -> Scope:
    if path.startswith(MODELS) and path.endswith(INFER):
        return Scope.PREDICT
    return _SCOPES.get(path, Scope.ADMIN)
