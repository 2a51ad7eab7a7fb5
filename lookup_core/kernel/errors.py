"""Every way in which a request is refused: one class, every face of it.

    Refused
    ├── (the request is wrong)            INVALID_ARGUMENT 400
    │   ├── InvalidRequest                INVALID_REQUEST
    │   ├── InvalidIdentity *             INVALID_IDENTITY
    │   ├── MalformedToken *              MALFORMED_TOKEN
    │   ├── InvalidRevisionToken *        INVALID_REVISION_TOKEN
    │   ├── BatchTooLarge                 BATCH_TOO_LARGE
    │   └── RequestIdReused               REQUEST_ID_REUSED
    ├── (the caller)
    │   ├── CredentialsInvalid            CREDENTIALS_INVALID    UNAUTHENTICATED 401
    │   ├── NotPermitted *                NOT_PERMITTED          PERMISSION_DENIED 403
    │   └── QuotaExceeded                 QUOTA_EXCEEDED         RESOURCE_EXHAUSTED 429, retryable
    ├── (nothing there)                   NOT_FOUND 404
    │   ├── ExclusionNotFound             EXCLUSION_NOT_FOUND
    │   ├── KeyNotFound                   KEY_NOT_FOUND
    │   ├── AuditEntryNotFound            AUDIT_ENTRY_NOT_FOUND
    │   ├── TokenNotFound                 TOKEN_NOT_FOUND
    │   └── RotationNotFound              ROTATION_NOT_FOUND
    ├── (the state forbids it)            FAILED_PRECONDITION 409
    │   ├── NotReleasable *               NOT_RELEASABLE
    │   ├── ExclusionReleased *           EXCLUSION_RELEASED
    │   ├── PeriodNotLonger *             PERIOD_NOT_LONGER
    │   ├── TokenNotLive                  TOKEN_NOT_LIVE
    │   └── RevisionFromOtherStore        REVISION_FROM_OTHER_STORE
    ├── (not now)                         UNAVAILABLE 503, retryable
    │   ├── StoreUnreachable              STORE_UNREACHABLE
    │   ├── ReplicaLoading                REPLICA_LOADING
    │   ├── Draining                      DRAINING
    │   ├── RegisterStale                 REGISTER_STALE
    │   ├── RecordedNotConfirmed          RECORDED_NOT_CONFIRMED
    │   ├── RevisionNotReached            REVISION_NOT_REACHED
    │   ├── AuditUnavailable              AUDIT_UNAVAILABLE
    │   └── StoreBehindWitness            STORE_BEHIND_WITNESS
    ├── NotBuilt                          NOT_IMPLEMENTED        UNIMPLEMENTED 501
    └── InternalFault                     INTERNAL               INTERNAL 500

Classes with * are raised by the pure rules and live in domain/errors.py. SettingsRefused stands apart: it
stops a process before it serves anybody.
"""

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from lookup_core.domain.errors import (
    SENT,
    ExclusionReleased,
    InvalidIdentity,
    InvalidRevisionToken,
    MalformedToken,
    NotPermitted,
    NotReleasable,
    PeriodNotLonger,
    Refused,
)

__all__ = [
    "REASONS",
    "SENT",
    "AuditEntryNotFound",
    "AuditUnavailable",
    "BatchTooLarge",
    "CredentialsInvalid",
    "Draining",
    "ExclusionNotFound",
    "ExclusionReleased",
    "InternalFault",
    "InvalidIdentity",
    "InvalidRequest",
    "InvalidRevisionToken",
    "KeyNotFound",
    "MalformedToken",
    "NotBuilt",
    "NotPermitted",
    "NotReleasable",
    "PeriodNotLonger",
    "QuotaExceeded",
    "RecordedNotConfirmed",
    "Refused",
    "RegisterStale",
    "ReplicaLoading",
    "RequestIdReused",
    "RevisionFromOtherStore",
    "RevisionNotReached",
    "RotationNotFound",
    "SettingsRefused",
    "StoreBehindWitness",
    "StoreUnreachable",
    "TokenNotFound",
    "TokenNotLive",
]


class InvalidRequest(Refused):
    """A field that is missing, unknown, too long or of the wrong form."""

    reason, code, http = "INVALID_REQUEST", "INVALID_ARGUMENT", 400

    def __init__(self, field: str, message: str, *, sent: str | None = None) -> None:
        super().__init__(message, field=field, sent=sent)


class BatchTooLarge(Refused):
    """More people in one call than it takes."""

    reason, code, http = "BATCH_TOO_LARGE", "INVALID_ARGUMENT", 400

    def __init__(self, size: int, limit: int, field: str = "subjects") -> None:
        super().__init__(
            f"The batch names {size:,} people; one call takes {limit:,}. Split it. Nobody was checked.",
            field=field,
            details={"limit": str(limit)},
        )


class RequestIdReused(Refused):
    """The same request id with another body."""

    reason, code, http = "REQUEST_ID_REUSED", "INVALID_ARGUMENT", 400

    def __init__(self) -> None:
        super().__init__(
            "This request_id was used before with another body. The first request stands; nothing was "
            "changed. Send a new request_id for a new request.",
            field="request_id",
        )


class CredentialsInvalid(Refused):
    """No key, or one that is malformed, unknown or revoked. Which of them is not told."""

    reason, code, http = "CREDENTIALS_INVALID", "UNAUTHENTICATED", 401

    def __init__(self) -> None:
        super().__init__("The API key is missing or not valid. Send it as: authorization: Bearer nser_…")


class QuotaExceeded(Refused):
    """A budget of the key is used up for now."""

    reason, code, http, retryable = "QUOTA_EXCEEDED", "RESOURCE_EXHAUSTED", 429, True

    def __init__(self, budget: str, limit: int, retry_after_ms: int, subject: str = "") -> None:
        """Name the `budget` (requests, people), its `limit` a second and the `subject` that it belongs to."""
        self.budget, self.subject = budget, subject
        super().__init__(
            f"The budget of {limit:,} {budget} a second is used up. Wait {retry_after_ms} ms, and let nobody "
            "play on a check that was refused.",
            retry_after_ms=retry_after_ms,
            details={"budget": budget, "limit": str(limit)},
        )


class ExclusionNotFound(Refused):
    """No exclusion has this id, or nobody this token, or the caller may not know of it."""

    reason, code, http = "EXCLUSION_NOT_FOUND", "NOT_FOUND", 404

    def __init__(self, field: str = "id") -> None:
        named = "token" if field == "bst" else "id"
        super().__init__(f"The register has no exclusion with this {named}.", field=field)


class KeyNotFound(Refused):
    """No API key has this id."""

    reason, code, http = "KEY_NOT_FOUND", "NOT_FOUND", 404

    def __init__(self, field: str = "key_id") -> None:
        super().__init__("The register has no API key with this id.", field=field)


class AuditEntryNotFound(Refused):
    """The audit log has no such entry, or none under a checkpoint."""

    reason, code, http = "AUDIT_ENTRY_NOT_FOUND", "NOT_FOUND", 404

    def __init__(self, field: str = "entry") -> None:
        super().__init__(
            "The audit log has no such entry, or none that is under a checkpoint yet. New ones are after some seconds.",
            field=field,
        )


class TokenNotFound(Refused):
    """No token of the register, or one that the caller's operator had not from it. Which of them is not told."""

    reason, code, http = "TOKEN_NOT_FOUND", "NOT_FOUND", 404

    def __init__(self, field: str = "bst") -> None:
        super().__init__(
            "The register has not given you this BST. Ask for the person's own one by phone or document.",
            field=field,
        )


class RotationNotFound(Refused):
    """No rotation of tokens has this id."""

    reason, code, http = "ROTATION_NOT_FOUND", "NOT_FOUND", 404

    def __init__(self, field: str = "rotation_id") -> None:
        super().__init__("The register has no rotation with this id.", field=field)


class TokenNotLive(Refused):
    """The token was rotated or revoked before."""

    reason, code, http = "TOKEN_NOT_LIVE", "FAILED_PRECONDITION", 409

    def __init__(self, state: str) -> None:
        """Name its `state`: rotated, revoked."""
        super().__init__(
            f"This BST is {state} already, and only a live one is rotated. Nothing was changed. "
            "Ask for the person's present one by phone or document.",
            field="bst",
            details={"state": state},
        )


class RevisionFromOtherStore(Refused):
    """A revision token of another register, or of this one before a restore."""

    reason, code, http = "REVISION_FROM_OTHER_STORE", "FAILED_PRECONDITION", 409

    def __init__(self, field: str = "consistency.at_least") -> None:
        super().__init__(
            "This revision token belongs to another store, or to the time before a restore. "
            "Drop it and ask again without it.",
            field=field,
        )


class _NotNow(Refused):
    """The register cannot do this now; deny play and ask again."""

    code, http, retryable = "UNAVAILABLE", 503, True
    said = ""
    wait_ms = 500

    def __init__(
        self, *, retry_after_ms: int | None = None, details: Mapping[str, str] | None = None
    ) -> None:
        waited = self.wait_ms if retry_after_ms is None else retry_after_ms
        super().__init__(self.said, retry_after_ms=waited, details=details)


class StoreUnreachable(_NotNow):
    """The primary does not answer."""

    reason = "STORE_UNREACHABLE"
    said = (
        "The register's store cannot be reached now. Ask again; a write may be repeated with the same request_id. "
        "Let nobody play meanwhile."
    )


class ReplicaLoading(_NotNow):
    """The replica has no index yet."""

    reason = "REPLICA_LOADING"
    said = "This replica is still loading the register. Ask another one; let nobody play meanwhile."


class Draining(_NotNow):
    """The process is going away."""

    reason = "DRAINING"
    said = "This server is going away. Ask another one; let nobody play meanwhile."


class RegisterStale(_NotNow):
    """The replica has no live lease, so that it may neither clear nor authenticate anybody."""

    reason = "REGISTER_STALE"
    said = "This replica has lost touch with the register. Ask another one; let nobody play meanwhile."


class RecordedNotConfirmed(_NotNow):
    """Written, and not yet confirmed by every replica."""

    reason = "RECORDED_NOT_CONFIRMED"
    said = (
        "It is recorded, and not yet confirmed on every replica. "
        "Repeat it with the same request_id to have it confirmed."
    )
    wait_ms = 1_000

    def __init__(self, subject_id: str, revision: str) -> None:
        """Name what was recorded (`details["id"]`) and the revision token (`details["revision"]`)."""
        super().__init__(details={"id": subject_id, "revision": revision})


class RevisionNotReached(_NotNow):
    """The revision asked for did not arrive within the deadline."""

    reason = "REVISION_NOT_REACHED"
    said = "This replica has not reached the revision asked for. Ask again; let nobody play meanwhile."
    wait_ms = 250


class AuditUnavailable(_NotNow):
    """An audited act is not done when its audit line cannot be written."""

    reason = "AUDIT_UNAVAILABLE"
    said = "The audit log cannot be written now, so this was not done. Repeat it with the same request_id."


class StoreBehindWitness(_NotNow):
    """The store's audit log is not the one that was witnessed outside: it is closed until people have looked."""

    reason = "STORE_BEHIND_WITNESS"
    said = (
        "The register's store is behind its witness, or differs from it, and is closed. Nothing was saved or answered. "
        "Let nobody play meanwhile."
    )
    wait_ms = 30_000


class NotBuilt(Refused):
    """A call that the contract names and this version does not have yet."""

    reason, code, http = "NOT_IMPLEMENTED", "UNIMPLEMENTED", 501

    def __init__(self, call: str) -> None:
        super().__init__(f"{call} is part of the contract and not available in this version.")


class InternalFault(Refused):
    """A fault of ours. The correlation id leads to it in the logs; the caller is told no more."""

    reason, code, http = "INTERNAL", "INTERNAL", 500

    def __init__(self, correlation_id: str = "") -> None:
        super().__init__(
            "Something failed on our side. Let nobody play on it, and report it with its correlation id.",
            details={"correlation_id": correlation_id} if correlation_id else None,
        )


class SettingsRefused(Exception):
    """A process that must not start.

    One sentence for each thing that is wrong with its settings or key files.
    """

    def __init__(self, *problems: str) -> None:
        self.problems: Sequence[str] = problems
        super().__init__("\n".join(problems))


def _named(root: type[Refused]) -> Iterator[type[Refused]]:
    for cls in root.__subclasses__():
        if "reason" in cls.__dict__:
            yield cls
        yield from _named(cls)


REASONS: Final[Mapping[str, type[Refused]]] = MappingProxyType({cls.reason: cls for cls in _named(Refused)})
