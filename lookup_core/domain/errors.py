"""The root of every refusal, and the refusals that the pure rules raise. The whole tree: `kernel/errors.py`.

A refusal has two texts. `message` is for the caller alone and may repeat what the caller sent; `str(error)`,
`repr(error)` and `error.args` show `[pii]` in that place, so that a traceback or a careless log line holds no
personal data. Logs take `log_safe`.
"""

from collections.abc import Mapping
from datetime import date
from types import MappingProxyType
from typing import ClassVar

SENT = "{sent}"  # where a message repeats the caller's own words
_LONGEST_ECHO = 32


class Refused(Exception):
    """A request that is refused, and why: the same for gRPC, REST and the SDKs.

    `reason`, `code` (a name of grpc.StatusCode), `http` and `retryable` are fixed by the class. `details` is
    public to the caller; put ids there, never personal data.
    """

    reason: ClassVar[str]
    code: ClassVar[str]
    http: ClassVar[int]
    retryable: ClassVar[bool] = False

    def __init__(
        self,
        message: str,
        *,
        field: str | None = None,
        sent: str | None = None,
        retry_after_ms: int | None = None,
        details: Mapping[str, str] | None = None,
    ) -> None:
        """Keep `message`, whose `{sent}` stands for the caller's own text `sent`."""
        super().__init__(message.replace(SENT, "[pii]"))
        self.message = message if sent is None else message.replace(SENT, _echo(sent))
        self.field = field
        self.retry_after_ms = retry_after_ms
        self.details: Mapping[str, str] = MappingProxyType(dict(details or {}))

    @property
    def log_safe(self) -> str:
        """Reason and field, and nothing that a caller can choose."""
        return self.reason if self.field is None else f"{self.reason}({self.field})"


def _echo(sent: str) -> str:
    """What was sent, short and printable: an answer must not carry megabytes or control characters back."""
    shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in sent[:_LONGEST_ECHO])
    return (shown.strip() or "(empty)") if len(sent) <= _LONGEST_ECHO else f"{shown}…"


class InvalidIdentity(Refused):
    """A phone, document or date of birth that cannot be read."""

    reason, code, http = "INVALID_IDENTITY", "INVALID_ARGUMENT", 400

    def __init__(self, field: str, message: str, *, sent: str | None = None) -> None:
        super().__init__(message, field=field, sent=sent)


class MalformedToken(Refused):
    """A text that is not a BST: its form or its check digits are wrong."""

    reason, code, http = "MALFORMED_TOKEN", "INVALID_ARGUMENT", 400

    def __init__(self, message: str) -> None:
        super().__init__(message, field="bst")


class InvalidRevisionToken(Refused):
    """A revision token that this register did not seal."""

    reason, code, http = "INVALID_REVISION_TOKEN", "INVALID_ARGUMENT", 400

    def __init__(self, field: str = "consistency.at_least") -> None:
        super().__init__(
            "This revision token was not given by this register, or was altered. "
            "Leave it out, or send one from a recent answer unchanged.",
            field=field,
        )


class NotPermitted(Refused):
    """The caller is known, and may not do this."""

    reason, code, http = "NOT_PERMITTED", "PERMISSION_DENIED", 403


class NotReleasable(Refused):
    """The exclusion cannot be released yet, or not in this way."""

    reason, code, http = "NOT_RELEASABLE", "FAILED_PRECONDITION", 409

    def __init__(self, rule: str, first_date: date | None = None) -> None:
        """Name the `rule`, and the first date (EAT) on which it would be allowed, if there is one."""
        self.first_date = first_date
        if first_date is None:
            super().__init__(f"This exclusion stays in force: {rule}. Nothing was changed.")
            return
        super().__init__(
            f"This exclusion stays in force: {rule}. That is possible from {first_date:%d %B %Y} on. "
            "Nothing was changed.",
            details={"first_date": first_date.isoformat()},
        )


class ExclusionReleased(Refused):
    """The exclusion was released; what is over cannot be changed."""

    reason, code, http = "EXCLUSION_RELEASED", "FAILED_PRECONDITION", 409

    def __init__(self) -> None:
        super().__init__("This exclusion was released and cannot be changed. Register a new one.")


class PeriodNotLonger(Refused):
    """An extension that would not end later than what is in force."""

    reason, code, http = "PERIOD_NOT_LONGER", "FAILED_PRECONDITION", 409

    def __init__(self, expiry_date: date | None) -> None:
        ends = "is permanent" if expiry_date is None else f"runs until {expiry_date:%d %B %Y}"
        super().__init__(
            f"The exclusion in force {ends}, and an extension can only make it longer. Nothing was changed.",
            field="period",
        )
