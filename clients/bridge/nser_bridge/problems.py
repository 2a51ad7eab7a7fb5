"""Refusals as RFC 9457 problem+json, under the reasons that the gRPC services give.

A problem tells the caller what was wrong with the request, and repeats neither the path nor what gRPC says of sockets
and addresses. It has no `instance`: a path can hold a phone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from nser_client import errors
from nser_client.errors import NserError

CONTENT_TYPE: Final = "application/problem+json"

_HTTP: Final[tuple[tuple[type[NserError], int], ...]] = (
    (errors.InvalidRequest, 400),
    (errors.CredentialsInvalid, 401),
    (errors.NotPermitted, 403),
    (errors.NotFound, 404),
    (errors.Conflict, 409),
    (errors.QuotaExceeded, 429),
    (errors.NotBuilt, 501),
    (errors.Unavailable, 503),
    (errors.DeadlineExceeded, 504),
)
# What the client library says of these is about our own network.
_SAID_BY_US: Final[Mapping[str, str]] = {
    "UNREACHABLE": "The register cannot be reached now. Let nobody play meanwhile, and ask again.",
    "UNAVAILABLE": "The register cannot answer now. Let nobody play meanwhile, and ask again.",
    "DEADLINE_EXCEEDED": (
        "The register did not answer in time. Let nobody play meanwhile, and ask again; repeat a write with the same "
        "request_id."
    ),
    "INTERNAL": "Something failed on our side. Let nobody play on it, and report it with its correlation_id.",
}
_DEFAULT_RETRY_MS: Final = 1_000

# A field of a gRPC message, and what it is called in REST.
_REST_NAMES: Final[Mapping[str, str]] = {
    "document": "id_number",
    "document.number": "id_number",
    "document.type": "id_type",
    "from_date": "from",
    "to_date": "to",
    "purpose": "check_type",
    "subjects": "users",
    "page_token": "cursor",
}
_ITEM: Final = re.compile(r"^subjects?(?P<index>\[\d+\])?\.")


class Problem(Exception):
    """A request that is answered with problem+json."""

    def __init__(
        self,
        status: int,
        reason: str,
        detail: str,
        *,
        field: str | None = None,
        retry_after_ms: int | None = None,
        headers: Mapping[str, str] | None = None,
        more: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.detail = detail
        self.field = field
        self.retry_after_ms = retry_after_ms
        self.headers = dict(headers or {})
        self.more = dict(more or {})

    def all_headers(self) -> dict[str, str]:
        """Return the headers that belong to it: when to come back, how to show a key."""
        headers = dict(self.headers)
        if self.status in (429, 503):
            headers["Retry-After"] = str(-(-(self.retry_after_ms or _DEFAULT_RETRY_MS) // 1000))
        if self.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        return headers

    def body(self, docs_url: str, correlation_id: str) -> bytes:
        """Return the document."""
        members: dict[str, Any] = {
            "type": docs_url + self.reason.lower().replace("_", "-"),
            "title": self.reason.replace("_", " ").capitalize(),
            "status": self.status,
            "detail": self.detail,
            "reason": self.reason,
        }
        if self.field is not None:
            members["field"] = self.field
        return msgspec.json.encode({**members, "correlation_id": correlation_id, **self.more})


def http_status(error: NserError) -> int:
    """Return the HTTP status of an error; 500 for what is nobody's but ours."""
    return next((status for cls, status in _HTTP if isinstance(error, cls)), 500)


def problem_of(error: NserError) -> Problem:
    """Return the problem that says the same as a gRPC refusal."""
    more: dict[str, Any] = {}
    if isinstance(error, errors.RecordedNotConfirmed):  # what is recorded, and as of which revision
        more = {name: error.details[name] for name in ("id", "revision") if name in error.details}
    return Problem(
        http_status(error),
        error.reason,
        _SAID_BY_US.get(error.reason, error.message),
        field=rest_field(error.field),
        retry_after_ms=error.retry_after_ms,
        headers={"X-Request-Id": error.request_id} if error.request_id else None,
        more=more,
    )


def rest_field(field: str | None) -> str | None:
    """Return the REST name of a gRPC field path: `subject.document.number` is `id_number`."""
    if not field:
        return None
    item = _ITEM.match(field)
    rest = field[item.end() :] if item else field
    named = _REST_NAMES.get(rest, rest)
    return f"users{item['index']}.{named}" if item and item["index"] else named
