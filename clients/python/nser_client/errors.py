"""Everything that a call can raise, under the names that the servers give as reasons.

    NserError
    ├── (the request is wrong)         fix it; sending it again changes nothing
    │   └── InvalidRequest             INVALID_REQUEST
    │       ├── InvalidIdentity        INVALID_IDENTITY
    │       ├── MalformedToken         MALFORMED_TOKEN
    │       ├── InvalidRevisionToken   INVALID_REVISION_TOKEN
    │       ├── BatchTooLarge          BATCH_TOO_LARGE
    │       └── RequestIdReused        REQUEST_ID_REUSED
    ├── (the key)
    │   ├── CredentialsInvalid         CREDENTIALS_INVALID
    │   └── NotPermitted               NOT_PERMITTED
    ├── NotFound                       NOT_FOUND
    │   ├── ExclusionNotFound          EXCLUSION_NOT_FOUND
    │   ├── KeyNotFound                KEY_NOT_FOUND
    │   ├── AuditEntryNotFound         AUDIT_ENTRY_NOT_FOUND
    │   ├── TokenNotFound              TOKEN_NOT_FOUND
    │   └── RotationNotFound           ROTATION_NOT_FOUND
    ├── Conflict                       CONFLICT: the state of the register forbids it
    │   ├── NotReleasable              NOT_RELEASABLE
    │   ├── ExclusionReleased          EXCLUSION_RELEASED
    │   ├── PeriodNotLonger            PERIOD_NOT_LONGER
    │   ├── TokenNotLive               TOKEN_NOT_LIVE
    │   └── RevisionFromOtherStore     REVISION_FROM_OTHER_STORE
    ├── NotBuilt                       NOT_IMPLEMENTED
    └── Outage                         a check answers INDETERMINATE instead of raising one of these
        ├── QuotaExceeded              QUOTA_EXCEEDED
        ├── DeadlineExceeded           DEADLINE_EXCEEDED
        ├── InternalFault              INTERNAL
        └── Unavailable                retried by the client before it is raised
            ├── Unreachable            UNREACHABLE: no answer from the server at all
            ├── StoreUnreachable       STORE_UNREACHABLE
            ├── ReplicaLoading         REPLICA_LOADING
            ├── Draining               DRAINING
            ├── RegisterStale          REGISTER_STALE
            ├── RecordedNotConfirmed   RECORDED_NOT_CONFIRMED: it IS recorded
            ├── RevisionNotReached     REVISION_NOT_REACHED
            ├── AuditUnavailable       AUDIT_UNAVAILABLE
            └── StoreBehindWitness     STORE_BEHIND_WITNESS

Faults of the calling program (a client used after a fork, from another event loop, after close) are Misuse, a
RuntimeError: no retry and no deny-by-default may hide them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final


class Misuse(RuntimeError):
    """The client is used in a way that cannot work; the message says what to do instead."""


class NserError(Exception):
    """A call that did not succeed, and why.

    `reason` is the server's word for it; `field` names the part of the request; `retry_after_ms` says when to come
    back; `details` are public facts such as the id of what was recorded; `request_id` is the one to repeat a write
    with.
    """

    reason: str = "UNKNOWN"

    def __init__(
        self,
        message: str,
        *,
        field: str | None = None,
        retry_after_ms: int | None = None,
        details: Mapping[str, str] | None = None,
        reason: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.retry_after_ms = retry_after_ms
        self.details: Mapping[str, str] = MappingProxyType(dict(details or {}))
        self.correlation_id: str | None = self.details.get("correlation_id")
        self.request_id: str | None = None
        if reason:
            self.reason = reason

    def __repr__(self) -> str:
        """Reason and field only: a message may repeat what was sent."""
        return f"{type(self).__name__}({self.reason}{f', {self.field}' if self.field else ''})"


class InvalidRequest(NserError):
    """A field that is missing, unknown, too long or of the wrong form."""

    reason = "INVALID_REQUEST"


class InvalidIdentity(InvalidRequest):
    """A phone, document or date of birth that cannot be read."""

    reason = "INVALID_IDENTITY"


class MalformedToken(InvalidRequest):
    """A text that is not a BST: its form or its check digits are wrong."""

    reason = "MALFORMED_TOKEN"


class InvalidRevisionToken(InvalidRequest):
    """A revision token that this register did not give."""

    reason = "INVALID_REVISION_TOKEN"


class BatchTooLarge(InvalidRequest):
    """More people in one call than it takes."""

    reason = "BATCH_TOO_LARGE"


class RequestIdReused(InvalidRequest):
    """The same request id with another body."""

    reason = "REQUEST_ID_REUSED"


class CredentialsInvalid(NserError):
    """No API key, or one that is malformed, unknown or revoked."""

    reason = "CREDENTIALS_INVALID"


class NotPermitted(NserError):
    """The key is good, and may not do this."""

    reason = "NOT_PERMITTED"


class NotFound(NserError):
    """What was named does not exist, or the key may not know of it."""

    reason = "NOT_FOUND"


class ExclusionNotFound(NotFound):
    """No exclusion has this id."""

    reason = "EXCLUSION_NOT_FOUND"


class AuditEntryNotFound(NotFound):
    """The audit log has no such entry, or none under a checkpoint yet."""

    reason = "AUDIT_ENTRY_NOT_FOUND"


class KeyNotFound(NotFound):
    """No API key has this id."""

    reason = "KEY_NOT_FOUND"


class TokenNotFound(NotFound):
    """No BST of the register, or one that your operator had not from it."""

    reason = "TOKEN_NOT_FOUND"


class RotationNotFound(NotFound):
    """No rotation of tokens has this id."""

    reason = "ROTATION_NOT_FOUND"


class Conflict(NserError):
    """The state of the register forbids it."""

    reason = "CONFLICT"


class NotReleasable(Conflict):
    """The exclusion cannot be released yet, or not in this way."""

    reason = "NOT_RELEASABLE"


class ExclusionReleased(Conflict):
    """The exclusion was released; what is over cannot be changed."""

    reason = "EXCLUSION_RELEASED"


class PeriodNotLonger(Conflict):
    """An extension that would not end later than what is in force."""

    reason = "PERIOD_NOT_LONGER"


class TokenNotLive(Conflict):
    """The BST was rotated or revoked before (`details["state"]`)."""

    reason = "TOKEN_NOT_LIVE"


class RevisionFromOtherStore(Conflict):
    """A revision token of another register, or of this one before a restore: drop it."""

    reason = "REVISION_FROM_OTHER_STORE"


class NotBuilt(NserError):
    """A call that the contract names and the server's version does not have."""

    reason = "NOT_IMPLEMENTED"


class Outage(NserError):
    """The register did not answer the question. A check denies; everything else raises."""

    reason = "OUTAGE"


class QuotaExceeded(Outage):
    """A budget of the key is used up for now; see `retry_after_ms`."""

    reason = "QUOTA_EXCEEDED"


class DeadlineExceeded(Outage):
    """No answer in time. A write may or may not be recorded: repeat it with the same `request_id`."""

    reason = "DEADLINE_EXCEEDED"


class InternalFault(Outage):
    """A fault of the server, or an answer that makes no sense."""

    reason = "INTERNAL"


class Unavailable(Outage):
    """Not now. Retried by the client until its deadline, then raised."""

    reason = "UNAVAILABLE"


class Unreachable(Unavailable):
    """No server answered at the address."""

    reason = "UNREACHABLE"


class StoreUnreachable(Unavailable):
    """The register's store does not answer. Nothing was saved."""

    reason = "STORE_UNREACHABLE"


class ReplicaLoading(Unavailable):
    """The replica has no index yet."""

    reason = "REPLICA_LOADING"


class Draining(Unavailable):
    """The server is going away."""

    reason = "DRAINING"


class RegisterStale(Unavailable):
    """The replica has lost touch with the register."""

    reason = "REGISTER_STALE"


class RecordedNotConfirmed(Unavailable):
    """It IS recorded (`details["id"]`), and not yet confirmed everywhere: repeat it with the same `request_id`."""

    reason = "RECORDED_NOT_CONFIRMED"


class RevisionNotReached(Unavailable):
    """The revision asked for did not arrive within the deadline."""

    reason = "REVISION_NOT_REACHED"


class AuditUnavailable(Unavailable):
    """An audited act was not done because its audit line could not be written."""

    reason = "AUDIT_UNAVAILABLE"


class StoreBehindWitness(Unavailable):
    """The register's store is behind its witness, and is closed. Nothing was saved."""

    reason = "STORE_BEHIND_WITNESS"


def _tree(root: type[NserError]) -> Iterator[type[NserError]]:
    for cls in root.__subclasses__():
        yield cls
        yield from _tree(cls)


BY_REASON: Final[Mapping[str, type[NserError]]] = MappingProxyType(
    {cls.reason: cls for cls in _tree(NserError)}
)
"""The class that stands for each reason."""
