"""`nser keys rotate`, `status` and `retire` beside a real database, as its owner."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from typer.testing import CliRunner

from lookup_core.cli.main import app
from lookup_core.kernel.keyring import KeyRing
from lookup_core.registrar.people.personal_data import Told
from tests.support.people import people
from tests.support.personal_data import read_back
from tests.support.rings import kept_in, ring_file_in
from tests.support.rotations import rotating_on, to_the_end
from tests.support.services import Database

pytestmark = pytest.mark.services

Nser = Callable[..., Any]


@pytest.fixture
def nser(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Nser:
    """The command, on this database and on a ring in `tmp_path`; in a thread, for it runs a loop of its own."""
    monkeypatch.setenv("NSER_DATABASE_URL", database.owner_url)
    for name, value in {
        "NSER_KEYRING_FILE": tmp_path / "keyring.json",
        "NSER_KEYRING_CREDENTIAL_FILE": tmp_path / "keyring.credential",
        "NSER_HOME": tmp_path / "home",
    }.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.delenv("NSER_KEYRING_PROVIDER", raising=False)
    runner = CliRunner()

    async def call(*arguments: str) -> Any:
        return await asyncio.to_thread(runner.invoke, app, ["keys", *arguments])

    return call


async def test_a_rotation_from_the_command_to_the_end(nser: Nser, database: Database, tmp_path: Path) -> None:
    async with rotating_on(database, tmp_path) as it:
        for person in people(6):
            await it.desk.register(person, told=Told("Wanjiku"))
        old = it.first_kek
        begun = await nser("rotate", "pii", "--json")
        assert begun.exit_code == 0, begun.output
        told = json.loads(begun.stdout)
        assert (told["kind"], told["people"]) == ("rewrap", 6)
        early = await nser("retire", old)
        assert early.exit_code == 4
        assert "6 people" in early.output
        running = json.loads((await nser("status", "--json")).stdout)["register"]
        assert [(row["kek_id"], row["people"]) for row in running["kek_people"]] == [(old, 6)]
        assert running["rotations"][0]["state"] == "running"
        assert running["blind"] == {"1": 12}
        await to_the_end(it.worker())
        shown = (await nser("status")).output
        assert f"rewrap to {told['master_key']}: done; 6 of 6 people" in shown
        assert (await nser("retire", told["master_key"])).exit_code == 4
        retired = await nser("retire", old)
        assert retired.exit_code == 0, retired.output
        assert set(it.file.load().keks) == {told["master_key"]}
        assert (await nser("retire", old)).exit_code == 4
        connection = await asyncpg.connect(database.owner_url)
        try:
            assert len(await read_back(connection, it.file.load())) == 6
            actors = await connection.fetch(
                "SELECT DISTINCT actor FROM register.audit_entry WHERE action LIKE 'keys%'"
            )
            assert [row["actor"] for row in actors] == ["nser keys"]
        finally:
            await connection.close()


@pytest.mark.parametrize("purpose", ["bst-salt", "pairing", "audit-signing", "receipt-signing", "webhook"])
async def test_every_purpose_gets_a_new_version_and_keeps_the_old(
    nser: Nser, database: Database, tmp_path: Path, purpose: str
) -> None:
    name = purpose.replace("-", "_")
    async with rotating_on(database, tmp_path) as it:
        before = getattr(it.file.load(), name)
        done = await nser("rotate", purpose)
        assert done.exit_code == 0, done.output
        after = getattr(it.file.load(), name)
        assert (after.active, after.of(1)) == (2, before.current)
        connection = await asyncpg.connect(database.owner_url)
        try:
            query = "SELECT subject FROM register.audit_entry WHERE action = 'keys.rotated'"
            assert await connection.fetchval(query) == f"{name} 2"
        finally:
            await connection.close()


async def test_all_rotates_everything_but_the_blind_index(
    nser: Nser, database: Database, tmp_path: Path
) -> None:
    async with rotating_on(database, tmp_path) as it:
        assert (await nser("rotate", "all")).exit_code == 0
        ring = it.file.load()
        assert (ring.blind_version, ring.bst_salt.active, ring.webhook.active, len(ring.keks)) == (1, 2, 2, 2)


async def test_the_ring_can_be_changed_first_and_the_register_told_later(
    nser: Nser, tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with rotating_on(database, tmp_path) as it:
        monkeypatch.setenv("NSER_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
        assert (await nser("rotate", "pii", "--ring-only")).exit_code == 0
        away = await nser("rotate", "pii", "--start-only")
        assert away.exit_code == 3
        assert "The database cannot be asked" in away.output
        status = await nser("status")
        assert status.exit_code == 0
        assert "The register was not asked" in status.output
        monkeypatch.setenv("NSER_DATABASE_URL", database.owner_url)
        told = json.loads((await nser("rotate", "pii", "--start-only", "--json")).stdout)
        assert told["master_key"] == it.file.load().active_kek
        assert len(it.file.load().keks) == 2


async def test_what_cannot_be_rotated_is_refused(nser: Nser, tmp_path: Path) -> None:
    kept_in(tmp_path, KeyRing.create())
    before = ring_file_in(tmp_path).path.read_bytes()
    for arguments in (("rotate", "feed"), ("rotate", "pii", "--ring-only", "--start-only")):
        done = await nser(*arguments)
        assert done.exit_code == 2
        assert "pii, bst-salt" in done.output
    assert ring_file_in(tmp_path).path.read_bytes() == before
