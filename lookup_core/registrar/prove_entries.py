"""Checkpoints of the audit log and proofs against them, for those who hold the public key.

A checkpoint and its growth tell nothing of anybody and are everybody's. An entry is not: whoever reads one is in the
log before it is given.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from lookup_core.audit.log import Log
from lookup_core.kernel.errors import AuditEntryNotFound, InvalidRequest
from lookup_core.registrar.asked import Caller
from lookup_core.registrar.audited_reads import AuditedReads
from lookup_core.registrar.store.faults import unreachable
from lookup_core.registrar.store.pool import Pool, borrowed

ACTION: Final = "audit.read"
READ_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A signed checkpoint: its size, and its note with the cosignatures."""

    size: int
    note: str


@dataclass(frozen=True, slots=True)
class Proof:
    """A path of hashes, what it leads to, and for an entry its canonical bytes."""

    checkpoint: Checkpoint
    path: list[bytes]
    canonical: bytes = b""


class ProveEntries:
    def __init__(self, pool: Pool, reads: AuditedReads) -> None:
        self._pool = pool
        self._reads = reads

    async def checkpoint(self, covering: int) -> Checkpoint:
        """The first that covers so many entries; the newest for 0. Raises AuditEntryNotFound, StoreUnreachable."""
        async with self._log() as log:
            return await _checkpoint(log, covering, "covering")

    async def consistency(self, old_size: int, covering: int) -> Proof:
        """That the log only grew. Raises AuditEntryNotFound, InvalidRequest, StoreUnreachable."""
        async with self._log() as log:
            newer = await _checkpoint(log, covering, "covering")
            if old_size > newer.size:
                raise InvalidRequest(
                    "old_size", f"The checkpoint covers {newer.size} entries and cannot prove a longer log."
                )
            return Proof(newer, await log.consistency(old_size, newer.size))

    async def entry(self, number: int, covering: int, caller: Caller) -> Proof:
        """An entry and its proof. Raises AuditEntryNotFound, AuditUnavailable, StoreUnreachable."""
        await self._reads.note(caller, ACTION, f"entry {number}")
        async with self._log() as log:
            wanted = 0 if covering == 0 else max(covering, number + 1)
            checkpoint = await _checkpoint(log, wanted, "entry")
            entry = await log.entry(number) if number < checkpoint.size else None
            if entry is None:
                raise AuditEntryNotFound("entry")
            return Proof(checkpoint, await log.inclusion(number, checkpoint.size), entry.canonical())

    @asynccontextmanager
    async def _log(self) -> AsyncIterator[Log]:
        with unreachable():
            async with asyncio.timeout(READ_S), borrowed(self._pool) as connection:
                yield Log(connection)


async def _checkpoint(log: Log, covering: int, field: str) -> Checkpoint:
    found = await log.checkpoint(covering or None)
    if found is None:
        raise AuditEntryNotFound(field)
    return Checkpoint(*found)
