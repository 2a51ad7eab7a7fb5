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
from lookup_core.domain.blind import LiveVersions
from lookup_core.domain.chain import Digest
from lookup_core.domain.ids import Revision, StoreId
from lookup_core.kernel.errors import SettingsRefused
from lookup_core.kernel.keyring import KeyRing
from lookup_core.registrar.store.pool import QUERIES, Connection
from lookup_core.registrar.store.reading import live_versions

log = structlog.get_logger()

FOUNDING_LOCK: Final = "SELECT pg_advisory_xact_lock(hashtext('nser founding'))"


@dataclass(frozen=True, slots=True)
class Founded:
    """A store that is ours."""

    store_id: StoreId
    revision: Revision
    is_recovering: bool
    live: LiveVersions


async def found(connection: Connection | asyncpg.Connection[asyncpg.Record], ring: KeyRing) -> Founded:
    """Give an empty store its id and the beginning of its chain; check one that has both. Raises SettingsRefused."""
    async with connection.transaction():
        await connection.execute(FOUNDING_LOCK)  # two registrars that start at once found one store
        row = await connection.fetchrow(QUERIES["founded"])
        if row is None:
            store_id = StoreId(uuid4())
            beginning = chain.genesis(ring.feed, store_id)
            live = LiveVersions(ring.blind_version, ring.blind_version, ring.blind.check)
            await connection.execute(QUERIES["found_head"], store_id, beginning, live.newest, live.check)
            await connection.execute(QUERIES["found_beginning"], beginning)
            log.info("store.founded", store_id=str(store_id))
            return Founded(store_id, Revision(0), is_recovering=False, live=live)
        live = live_versions(row)
        founded = Founded(StoreId(row["store_id"]), Revision(row["revision"]), row["recovering"], live)
        await _check_chain(connection, ring, founded, Digest(row["digest"]))
        _check_blind_keys(ring, live)
    if founded.is_recovering:
        log.warning("store.recovering", store_id=str(founded.store_id))
    return founded


def _check_blind_keys(ring: KeyRing, live: LiveVersions) -> None:
    """See whether every form in which the register may hold an identifier can be made with this ring."""
    if ring.blind.cover(live):
        return
    if live.newest > ring.blind_version:
        wrong = f"has blind keys up to version {ring.blind_version}, the register works with version {live.newest}"
    else:
        wrong = f"has another blind key of version {live.newest} than the register works with"
    raise SettingsRefused(
        f"NSER_KEYRING_FILE: this key ring {wrong}. Use the ring of this register: the one that the rotation was "
        "begun with, or a copy made since. Nothing was changed."
    )


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
