"""An audit log for tests: entries that a test did not choose, sealed by the registrar's own sealer, and an attacker."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg

from lookup_core.audit.checking import perfect_root
from lookup_core.audit.log import Log
from lookup_core.audit.tiles import Growing
from lookup_core.audit.verifying import Outside, Verified, verify
from lookup_core.domain.audit_entry import AuditEntry, new_salt
from lookup_core.domain.merkle import leaf_hash
from lookup_core.kernel import notes
from lookup_core.kernel.clock import SystemClock
from lookup_core.registrar.audit.places import Folder, Place, Published
from lookup_core.registrar.audit.sealer import Name, Sealer
from lookup_core.registrar.audit.sealing import name_for
from lookup_core.registrar.audit.standing import Standing
from lookup_core.registrar.metrics import Metrics
from lookup_core.registrar.store.pool import open_pool
from lookup_core.registrar.store.transaction import append
from tests.support.registrar_desk import RING
from tests.support.services import Database

ORIGIN = "test.example/audit"
BEGAN = datetime.now(UTC).replace(microsecond=0)


def an_entry(number: int, **values: Any) -> AuditEntry:
    told: dict[str, Any] = {
        "salt": new_salt(),
        "at": BEGAN + timedelta(microseconds=number),
        "revision": number or None,
        "request_id": UUID(int=number) if number % 3 else None,
        "actor": f"key {number:016x}",
        "action": "exclusion.created",
        "subject": str(UUID(int=number)),
        "origin": "ipv4:127.0.0.1:1",
        "reason": "" if number % 2 else "sababu: ombi lake – ✓",
        "correlation_id": f"c-{number}",
    }
    return AuditEntry(**(told | values))


@dataclass
class AuditLog:
    """A log in a database of the test's own."""

    database: Database
    pool: Any
    name: Name
    standing: Standing = field(default_factory=Standing)
    places: Sequence[Place] = ()
    size: int = 0

    def sealer(self) -> Sealer:
        return Sealer(
            self.database.registrar_url,
            self.pool,
            self.name,
            self.places,
            standing=self.standing,
            metrics=Metrics(),
            clock=SystemClock(),
            heartbeat=self._heartbeat,
            heartbeat_s=3_600,
        )

    async def _heartbeat(self) -> None:
        raise AssertionError("no test waits for a heartbeat here")

    async def append(self, count: int, **values: Any) -> None:
        async with self.pool.acquire() as connection:
            for first in range(self.size, self.size + count, 5_000):
                numbers = range(first, min(first + 5_000, self.size + count))
                await append(connection, [an_entry(number, **values) for number in numbers])
        self.size += count

    async def seal(self) -> Published:
        """Seal what there is, and give the newest checkpoint."""
        sealer = self.sealer()
        async with self.pool.acquire() as connection:
            growing = await sealer.resumed(connection)
            while sealed := await sealer.seal(connection, growing):
                growing = sealed
            newest = await Log(connection).checkpoint()
        assert newest is not None
        return Published(*newest)

    async def written(self, *counts: int) -> Published:
        """Append and seal, for each count."""
        for count in counts:
            await self.append(count)
            newest = await self.seal()
        return newest

    async def verified(self, *outside: Published, processes: int = 0) -> Verified:
        kept = [Outside("the folder", each.note) for each in outside]
        return await verify(self.database.owner_url, self.name.verifiers, kept, processes=processes)

    def folder(self, path: Path) -> Folder:
        return Folder(path, self.name.verifiers, every_s=0)


@asynccontextmanager
async def audit_log(database: Database, **parts: Any) -> AsyncIterator[AuditLog]:
    pool = await open_pool(database.registrar_url, smallest=1, largest=4)
    try:
        yield AuditLog(database, pool, name_for(RING, ORIGIN), **parts)
    finally:
        pool.terminate()


@dataclass
class Attacker:
    """Owns the whole database, and not the signing key."""

    connection: asyncpg.Connection[Any]

    async def does(self, statement: str, *arguments: object) -> None:
        await self.connection.execute("SET session_replication_role = replica")  # no trigger fires
        await self.connection.execute(statement, *arguments)

    async def makes_tiles_again(self, checkpoints_by: notes.Signer | None = None) -> None:
        """Hash everything that is there now, and sign it with a key of their own."""
        log, growing = Log(self.connection), Growing()
        sizes = {
            row["size"] for row in await self.connection.fetch("SELECT size FROM register.audit_checkpoint")
        }
        await self.does("TRUNCATE register.audit_tile")
        for entry in await log.following(0, 1_000_000):
            for tile in growing.append(leaf_hash(entry.canonical())):
                assert tile.root == perfect_root(
                    [tile.hashes[at : at + 32] for at in range(0, len(tile.hashes), 32)]
                )
                await self.does("INSERT INTO register.audit_tile VALUES ($1, $2, $3, $4)", *tile)
            if growing.size in sizes and checkpoints_by is not None:
                text = notes.checkpoint_text(ORIGIN, growing.size, growing.root())
                await self.does(
                    "UPDATE register.audit_checkpoint SET note = $2 WHERE size = $1",
                    *(growing.size, notes.sign(text, checkpoints_by)),
                )
