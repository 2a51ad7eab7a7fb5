"""What a fault of PostgreSQL means to the caller: come back, or something is wrong here.

Refuses to guess about a commit: a connection that is lost while a commit is under way leaves the outcome open, and the
answer says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import asyncpg
import structlog

from lookup_core.kernel.errors import StoreUnreachable
from lookup_core.registrar.store.pool import BROKEN

log = structlog.get_logger()

# The server ends what takes too long, is going away, is not the primary any more, or cannot be reached at all.
NOT_NOW: Final = (
    *BROKEN,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.LockNotAvailableError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.IdleInTransactionSessionTimeoutError,
)
AGAIN: Final = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError, asyncpg.UniqueViolationError)
"""Another transaction was first; done again from the beginning, it sees what the other one did."""


class OutcomeUnknown(StoreUnreachable):
    """The store was lost while it was committing, this request or an earlier one with its id."""

    said = (
        "The register's store was lost while this was being saved; whether it is saved cannot be told now. "
        "Repeat it with the same request_id: it is never done twice."
    )


class BlindKeyLacking(StoreUnreachable):
    """The register's blind index has a version whose key this registrar does not have (SAFETY.md 22)."""

    said = (
        "This registrar lacks a key that the register works with now. Nothing was saved. Repeat it with the same "
        "request_id: another registrar has the key, or this one will."
    )


@contextmanager
def unreachable() -> Iterator[None]:
    """Turn faults of the store that pass into StoreUnreachable, and log their kind."""
    try:
        yield
    except NOT_NOW as fault:
        raise lost(fault) from fault


def lost(fault: BaseException, *, is_open: bool = False) -> StoreUnreachable:
    """Log a fault, and give what to raise for it."""
    log.warning(
        "store.unreachable",
        cause=type(fault).__name__,
        sqlstate=getattr(fault, "sqlstate", None),
        open=is_open,
    )
    return OutcomeUnknown() if is_open else StoreUnreachable()
