"""The readings of `Grants`, on one direct connection: one statement, one snapshot.

Not from the pool, so that no writer holds it up and its loss is seen. A reading that takes longer than a second ends
the connection, for nobody can tell to which server a late answer belongs. The next one connects again, and `Grants`
then waits one whole lease before it acknowledges anything (SAFETY.md 12).
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Final

import asyncpg

from lookup_core.domain.ids import ReplicaId, RequestId, Revision
from lookup_core.registrar.grants import Reading, ReadingLost, ReplicaRow
from lookup_core.registrar.store.pool import BROKEN, QUERIES

READING_S: Final = 1.0
"""Connecting included."""


class PostgresReadings:
    """Reads the replicas' rows of the store at `url`."""

    def __init__(self, url: str) -> None:
        self.timeline: str | None = None  # by the newest reading, for people who look
        self.revision = Revision(0)
        self._url = url
        self._connection: asyncpg.Connection[asyncpg.Record] | None = None

    async def read(self, requests: Collection[RequestId]) -> Reading:
        """Read in a new snapshot. Raises ReadingLost, and reconnects at the next call."""
        try:
            async with asyncio.timeout(READING_S):
                connection = await self._connected()
                row = await connection.fetchrow(QUERIES["reading"], list(requests))
        except (*BROKEN, asyncpg.PostgresError) as fault:
            self._drop()
            raise ReadingLost(type(fault).__name__) from fault
        except BaseException:  # cancelled in the middle: the connection is of no more use
            self._drop()
            raise
        if row is None:
            raise ReadingLost("the register has no head")
        self.timeline, self.revision = row["timeline"], Revision(row["revision"])
        replicas = zip(row["replica_ids"], row["applied"], row["grant_nos"], strict=True)
        committed = zip(row["request_ids"], row["revisions"], strict=True)
        return Reading(
            timeline=row["timeline"],
            replicas=[
                ReplicaRow(ReplicaId(replica_id), Revision(applied), grant_no)
                for replica_id, applied, grant_no in replicas
            ],
            committed={(RequestId(request_id), Revision(revision)) for request_id, revision in committed},
        )

    async def _connected(self) -> asyncpg.Connection[asyncpg.Record]:
        if self._connection is not None and self._connection.is_closed():
            # Never a silent reconnect: the next server may lack the newest grants (SAFETY.md 12).
            raise ConnectionResetError
        if self._connection is None:
            self._connection = await asyncpg.connect(
                self._url, server_settings={"application_name": "nser registrar reads grants"}
            )
        return self._connection

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None and not connection.is_closed():
            connection.terminate()

    def close(self) -> None:
        self._drop()
