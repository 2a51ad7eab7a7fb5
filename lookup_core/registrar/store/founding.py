"""The beginning of a store, and whether it is ours: run once at every start, before anything is served.

Refuses a store of another key ring: a chain that is continued under another key closes every replica.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from uuid import uuid4

import asyncpg
import structlog

from lookup_core.domain import chain
from lookup_core.domain.chain import Digest
from lookup_core.domain.ids import Revision, StoreId
from lookup_core.kernel.errors import SettingsRefused
from lookup_core.kernel.keyring import KeyRing
from lookup_core.registrar.store.pool import QUERIES, Connection

log = structlog.get_logger()

FOUNDING_LOCK: Final = "SELECT pg_advisory_xact_lock(hashtext('nser founding'))"


@dataclass(frozen=True, slots=True)
class Founded:
    """A store that is ours."""

    store_id: StoreId
    revision: Revision
    is_recovering: bool


async def found(connection: Connection | asyncpg.Connection[asyncpg.Record], ring: KeyRing) -> Founded:
    """Give an empty store its id and the beginning of its chain; check one that has both. Raises SettingsRefused."""
    async with connection.transaction():
        await connection.execute(FOUNDING_LOCK)  # two registrars that start at once found one store
        row = await connection.fetchrow(QUERIES["founded"])
        if row is None:
            store_id = StoreId(uuid4())
            beginning = chain.genesis(ring.feed, store_id)
            await connection.execute(QUERIES["found_head"], store_id, beginning, ring.blind_version)
            await connection.execute(QUERIES["found_beginning"], beginning)
            log.info("store.founded", store_id=str(store_id))
            return Founded(store_id, Revision(0), is_recovering=False)
        founded = Founded(StoreId(row["store_id"]), Revision(row["revision"]), row["recovering"])
        if row["key_version"] != ring.blind_version:
            raise SettingsRefused(
                f"NSER_KEYRING_FILE: this key ring works with blind keys of version {ring.blind_version}, the "
                f"register with version {row['key_version']}. Use the ring of this register."
            )
        await _check_chain(connection, ring, founded, Digest(row["digest"]))
    if founded.is_recovering:
        log.warning("store.recovering", store_id=str(founded.store_id))
    return founded


async def _check_chain(
    connection: Connection | asyncpg.Connection[asyncpg.Record],
    ring: KeyRing,
    founded: Founded,
    digest: Digest,
) -> None:
    """See whether our feed key makes the newest digest from the one before it."""
    beginning = chain.genesis(ring.feed, founded.store_id)
    if founded.revision == 0:
        expected: bytes | None = beginning
    else:
        newest = await connection.fetch(QUERIES["newest_changes"])
        last = newest[0] if newest and newest[0]["revision"] == founded.revision else None
        if last is None:
            raise SettingsRefused(
                "NSER_REGISTRAR_DATABASE_URL: the register's newest change is missing from its feed. Restore it."
            )
        before = beginning if founded.revision == 1 else newest[1]["digest"] if len(newest) > 1 else None
        expected = before and chain.extended(ring.feed, Digest(before), founded.revision, last["statements"])
    if expected is not None and not chain.is_same(expected, digest):
        raise SettingsRefused(
            "NSER_KEYRING_FILE: the register was written under another key ring. Use the ring of this register; "
            "nothing was changed."
        )
    if founded.revision <= 1:
        await connection.execute(QUERIES["found_beginning"], beginning)
