"""Sealing: every second, what was appended to the audit log goes under a signed checkpoint, and the checkpoint outside.

One registrar leads, by a lock that ends with its connection; tiles, checkpoint and lead are one connection's, so a
registrar that lost its lead cannot seal. What is found to contradict an earlier checkpoint, in the store or outside,
is never signed over: the store is closed (SAFETY.md 14). Until one place outside has been compared with, nothing is
signed; registrations do not wait for that.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import asyncpg
import structlog

from lookup_core.audit.log import Log, LogBroken
from lookup_core.audit.tiles import Growing, Tile
from lookup_core.domain.merkle import leaf_hash
from lookup_core.kernel import notes
from lookup_core.kernel.clock import Clock
from lookup_core.kernel.errors import Refused
from lookup_core.kernel.notes import Signer, Verifier
from lookup_core.registrar.audit.places import Place, PlaceAway, Published
from lookup_core.registrar.audit.standing import Standing
from lookup_core.registrar.metrics import Metrics
from lookup_core.registrar.store.faults import NOT_NOW
from lookup_core.registrar.store.pool import QUERIES, Doubt, Pool, borrowed

log = structlog.get_logger()

EVERY_S: Final = 1.0
RETRY_S: Final = 2.0
CONNECT_S: Final = 2.0
COMMAND_S: Final = 10.0
MOST: Final = 20_000
"""Entries under one checkpoint: bounds the statement and what is held of it."""
LOCK: Final = "SELECT pg_try_advisory_lock(hashtext('nser audit sealer'))"

if TYPE_CHECKING:  # generic in the stubs alone
    Connection = asyncpg.Connection[asyncpg.Record]


@dataclass(frozen=True, slots=True)
class Name:
    """Under which name and keys this log signs."""

    signer: Signer
    verifiers: Sequence[Verifier]


class Sealer:
    """Runs for as long as the process lives."""

    def __init__(
        self,
        url: str,
        pool: Pool,
        name: Name,
        places: Sequence[Place],
        *,
        standing: Standing,
        metrics: Metrics,
        clock: Clock,
        heartbeat: Callable[[], Awaitable[None]],
        heartbeat_s: float,
    ) -> None:
        self._url = url
        self._pool = pool
        self._name = name
        self._places = places
        self._standing = standing
        self._metrics = metrics
        self._clock = clock
        self._heartbeat = heartbeat
        self._heartbeat_s = heartbeat_s
        self._newest: Published | None = None
        self._changed = asyncio.Event()
        self._compared: set[str] = set()

    async def compare(self) -> None:
        """Hold the store against every place outside; closes it where it is behind or another one."""
        async with self._connected() as connection:
            await self._compare(connection)

    async def run(self) -> None:
        while not self._standing.finding:
            try:
                async with self._connected() as connection:
                    await self._compare(connection)
                    await self._follow(connection)
            except (*NOT_NOW, asyncpg.PostgresError, Refused) as fault:
                log.warning("audit.sealer_waits", cause=type(fault).__name__)
            except LogBroken as broken:
                self._close(str(broken))
            await self._clock.sleep(RETRY_S)
        await asyncio.Event().wait()  # closed: only a new process looks again

    # -- leading

    async def _follow(self, connection: Connection) -> None:
        """Wait for the lead, then seal until something ends it."""
        while not await connection.fetchval(LOCK):
            await self._clock.sleep(EVERY_S)
        log.info("audit.sealer_leads")
        growing = await self.resumed(connection)
        publishers = [asyncio.create_task(self._publishing(place)) for place in self._places]
        try:
            await self._seal_for_ever(connection, growing)
        finally:
            for publisher in publishers:
                publisher.cancel()
            await asyncio.gather(*publishers, return_exceptions=True)

    async def _seal_for_ever(self, connection: Connection, growing: Growing) -> None:
        sealed_at = self._clock.boottime_ns()
        while not self._standing.finding:
            if not self._may_sign:
                await self._compare(connection)
            if self._may_sign and (sealed := await self.seal(connection, growing)):
                is_full = sealed.size - growing.size == MOST
                growing, sealed_at = sealed, self._clock.boottime_ns()
                if is_full:
                    continue
            elif self._clock.boottime_ns() - sealed_at > self._heartbeat_s * 1e9:
                await self._heartbeat()
                sealed_at = self._clock.boottime_ns()
                continue
            await self._clock.sleep(EVERY_S)

    @property
    def _may_sign(self) -> bool:
        return not self._places or bool(self._compared)

    async def resumed(self, connection: Connection) -> Growing:
        """The log's right edge, which must have the root that its newest checkpoint says."""
        reader = Log(connection)
        newest = await reader.checkpoint()
        if newest is None:
            return Growing()
        size, note = newest
        try:
            said = notes.parse_checkpoint(notes.open(note, *self._name.verifiers))
        except ValueError as error:
            raise LogBroken(f"the checkpoint of {size} entries in the store: {error}") from None
        growing = await reader.growing(size)
        if (said.size, said.root) != (size, growing.root()):
            raise LogBroken(f"the first {size} entries in the store are not those of its checkpoint")
        self._tell(Published(size, note))
        return growing

    async def seal(self, connection: Connection, growing: Growing) -> Growing | None:
        """Put what is new under a checkpoint; None when nothing is."""
        entries = await Log(connection).following(growing.size, MOST)
        if not entries:
            return None
        grown, full = growing.copy(), list[Tile]()
        for entry in entries:
            full += grown.append(leaf_hash(entry.canonical()))
        signer = self._name.signer
        note = notes.sign(notes.checkpoint_text(signer.name, grown.size, grown.root()), signer)
        doubt = Doubt()
        connection.add_log_listener(doubt.notice)
        try:
            async with connection.transaction():
                await connection.executemany(QUERIES["audit_tile"], full)
                await connection.execute(QUERIES["audit_checkpoint"], grown.size, note)
                doubt.raised = False
        finally:
            connection.remove_log_listener(doubt.notice)
        if not doubt.raised:  # a standby may not have it: a later one will say so of both (SAFETY.md 11)
            self._tell(Published(grown.size, note))
        return grown

    def _tell(self, checkpoint: Published) -> None:
        self._newest = checkpoint
        self._metrics.audit_sealed.set(checkpoint.size)
        self._metrics.audit_sealed_at.set_to_current_time()
        self._changed.set()
        self._changed = asyncio.Event()

    # -- outside

    async def _compare(self, connection: Connection) -> None:
        reader = Log(connection)
        newest = await reader.checkpoint()
        published = None if newest is None else Published(*newest)
        for place in self._places:
            try:
                await place.compare(reader, published)
            except PlaceAway as away:
                log.warning("audit.place_away", place=place.name, cause=str(away))
            except LogBroken as broken:
                self._close(str(broken))
            else:
                self._compared.add(place.name)

    async def _publishing(self, place: Place) -> None:
        """Take the newest checkpoint to one place, again and again; a place that is slow holds nobody up."""
        sent = 0
        while True:
            changed, newest = self._changed, self._newest
            if newest is None or newest.size == sent:
                await changed.wait()
                continue
            try:
                async with borrowed(self._pool) as connection:
                    line = await place.publish(Log(connection), newest)
                    if line:
                        await connection.execute(QUERIES["audit_cosignature"], newest.size, place.name, line)
            except (PlaceAway, *NOT_NOW, asyncpg.PostgresError) as away:
                log.warning("audit.place_away", place=place.name, cause=str(away) or type(away).__name__)
                await self._clock.sleep(RETRY_S)
                continue
            except LogBroken as broken:
                self._close(str(broken))
                return
            sent = newest.size
            self._compared.add(place.name)
            self._metrics.audit_published.labels(place.name).set(sent)
            await self._clock.sleep(place.every_s)

    def _close(self, finding: str) -> None:
        self._standing.close(finding)
        self._metrics.audit_closed.set(1)

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[Connection]:
        connection = await asyncpg.connect(
            self._url,
            timeout=CONNECT_S,
            command_timeout=COMMAND_S,
            server_settings={"application_name": "nser registrar seals"},
        )
        try:
            yield connection
        finally:
            connection.terminate()
