"""SAFETY.md 11 on a real PostgreSQL: a commit whose wait for its standby was cancelled is no acknowledgement.

The server has a synchronous standby that does not exist. It is a server of its own, for the setting is the cluster's.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import psycopg
import pytest

from lookup_core.embedded.postgres import NOT_DURABLE, EmbeddedPostgres, with_login
from lookup_core.kernel.errors import RecordedNotConfirmed
from lookup_core.migrations import migrate
from lookup_core.registrar.store.faults import OutcomeUnknown
from lookup_core.registrar.store.pool import Doubt
from tests.support.people import someone
from tests.support.registrar_desk import Desk, a_request_id, an_identity, desk_on
from tests.support.services import Database, Services
from tests.support.waiting import until

pytestmark = [pytest.mark.services, pytest.mark.xdist_group("synchronous standby")]

WAITS = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND usename = 'nser_registrar'"


@pytest.fixture(scope="module")
def database(services: Services) -> Iterator[Database]:
    """A database on a server of this module's own."""
    with tempfile.TemporaryDirectory(prefix="nser-standby-", ignore_cleanup_errors=True) as folder:
        postgres = EmbeddedPostgres(Path(folder), settings=NOT_DURABLE, servers=Path(services.servers))
        with postgres as server:
            migrate(server.url())
            with psycopg.connect(server.url(), autocommit=True) as connection:
                connection.execute("ALTER ROLE nser_registrar PASSWORD 'standby'")
            made = Database(server.url(), "standby")
            assert with_login(server.url(), "nser_registrar", "postgres", "standby") == made.registrar_url
            yield made


class Standby:
    """The standby that the server waits for."""

    def __init__(self, owner: Any) -> None:
        self._owner = owner

    async def is_missed(self) -> None:
        await self._set("ghost")

    async def is_not_needed(self) -> None:
        await self._set("")

    async def wait_is_cancelled(self, *, ends_connection: bool = False) -> None:
        """End the wait of the one commit that waits, as an administrator would."""

        async def waits() -> bool:
            return bool(await self._owner.fetch(WAITS))

        await until(waits, "a commit waits for the standby")
        act = "pg_terminate_backend" if ends_connection else "pg_cancel_backend"
        await self._owner.execute(f"SELECT {act}(pid) FROM ({WAITS}) AS waiting")

    async def _set(self, names: str) -> None:
        await self._owner.execute("SET synchronous_commit = local")
        await self._owner.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{names}'")
        await self._owner.execute("SELECT pg_reload_conf()")

        async def taken() -> bool:
            return bool(await self._owner.fetchval("SHOW synchronous_standby_names") == names)

        await until(taken, "the server has read its settings")


@pytest.fixture
async def desk(database: Database) -> AsyncIterator[Desk]:
    async with desk_on(database, largest=3) as opened:
        yield opened


@pytest.fixture
async def standby(database: Database, desk: Desk) -> AsyncIterator[Standby]:
    connection = await asyncpg.connect(database.owner_url)
    made = Standby(connection)
    await made.is_missed()
    yield made
    await made.is_not_needed()
    await connection.close()


async def test_a_commit_that_a_standby_may_lack_is_not_confirmed_until_a_retry_is_replicated(
    desk: Desk, standby: Standby
) -> None:
    wanjiku, request_id = someone(), a_request_id()
    registering = asyncio.ensure_future(desk.register(wanjiku, request_id=request_id))
    await standby.wait_is_cancelled()
    with pytest.raises(RecordedNotConfirmed) as refused:
        await registering
    # It is visible here, and a retry whose own line is not replicated confirms it no more than the first did.
    retrying = asyncio.ensure_future(desk.register(wanjiku, request_id=request_id))
    await standby.wait_is_cancelled()
    with pytest.raises(RecordedNotConfirmed):
        await retrying
    await standby.is_not_needed()
    confirmed = await desk.register(wanjiku, request_id=request_id)
    assert refused.value.details["id"] == str(confirmed.id)


@pytest.mark.breaks
async def test_without_the_listener_it_would_be_acknowledged(
    desk: Desk, standby: Standby, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Doubt, "notice", lambda *_: None)
    registering = asyncio.ensure_future(desk.register())
    await standby.wait_is_cancelled()
    assert (await registering).revision > 0


async def test_a_token_that_a_standby_may_lack_is_not_given_out(desk: Desk, standby: Standby) -> None:
    generating = asyncio.ensure_future(desk.generate(an_identity(someone())))
    await standby.wait_is_cancelled()
    with pytest.raises(OutcomeUnknown):
        await generating


async def test_a_connection_that_ends_while_it_commits_leaves_the_outcome_open(
    desk: Desk, standby: Standby
) -> None:
    wanjiku, request_id = someone(), a_request_id()
    registering = asyncio.ensure_future(desk.register(wanjiku, request_id=request_id))
    await standby.wait_is_cancelled(ends_connection=True)
    with pytest.raises(OutcomeUnknown):
        await registering
    await standby.is_not_needed()
    assert (await desk.register(wanjiku, request_id=request_id)).revision > 0


async def test_a_retry_that_finds_the_first_still_committing_leaves_the_outcome_open(
    desk: Desk, standby: Standby
) -> None:
    wanjiku, request_id = someone(), a_request_id()
    registering = asyncio.ensure_future(desk.register(wanjiku, request_id=request_id))
    with pytest.raises(OutcomeUnknown):
        await desk.register(wanjiku, request_id=request_id, until_s=asyncio.get_running_loop().time() + 0.5)
    await standby.is_not_needed()
    assert await registering == await desk.register(wanjiku, request_id=request_id)


async def test_a_deadline_that_ends_in_the_commit_leaves_the_outcome_open(
    desk: Desk, standby: Standby
) -> None:
    wanjiku, request_id = someone(), a_request_id()
    ends_s = asyncio.get_running_loop().time() + 0.5
    with pytest.raises(OutcomeUnknown):
        await desk.register(wanjiku, request_id=request_id, until_s=ends_s)
    await standby.is_not_needed()  # releases the commit that waits
    assert (await desk.register(wanjiku, request_id=request_id)).revision > 0
