"""`nser keys rotate blind` beside a real database: what is next is done, and nothing is announced too early."""

from __future__ import annotations

import json
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest

from lookup_core.kernel.keyring import ReplicaKeys
from tests.integration.cli.test_cli_keys import Nser, nser  # noqa: F401 - a fixture
from tests.support.rotations import rotating_on
from tests.support.services import Database

pytestmark = pytest.mark.services


@pytest.fixture
def replica_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "replica-keys.json"
    monkeypatch.setenv("NSER_REPLICA_KEYS_FILE", str(path))
    return path


async def phase(database: Database) -> tuple[int, int | None]:
    connection = await asyncpg.connect(database.owner_url)
    try:
        row = await connection.fetchrow("SELECT key_version, key_announced FROM register.head")
        assert row is not None
        return row["key_version"], row["key_announced"]
    finally:
        await connection.close()


async def a_replica_answers(database: Database, *, key_version: int) -> None:
    connection = await asyncpg.connect(database.owner_url)
    try:
        await connection.execute(
            "INSERT INTO register.replica (replica_id, store_id, applied, digest, grant_no, key_version, "
            "granted_until, address) SELECT $1, store_id, revision, digest, 1, $2, "
            "now() + interval '1 hour', '127.0.0.1:50051' FROM register.head",
            *(uuid4(), key_version),
        )
    finally:
        await connection.close()


async def test_one_command_makes_the_key_writes_the_replicas_file_and_announces_it_once(
    nser: Nser,  # noqa: F811
    database: Database,
    tmp_path: Path,
    replica_keys: Path,
) -> None:
    async with rotating_on(database, tmp_path) as it:
        done = await nser("rotate", "blind", "--json")
        assert done.exit_code == 0, done.output
        assert json.loads(done.stdout)["version"] == 2
        assert it.file.load().blind_version == 2
        assert ReplicaKeys.load(replica_keys).blind == it.file.load().blind
        assert await phase(database) == (1, 2)
        again = await nser("rotate", "blind")
        assert again.exit_code == 0, again.output
        assert "nser keys status" in again.output
        assert it.file.load().blind_version == 2, "a rotation that is under way needs no other key"


async def test_it_is_not_announced_while_a_replica_lacks_the_key(
    nser: Nser,  # noqa: F811
    database: Database,
    tmp_path: Path,
    replica_keys: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("lookup_core.registrar.announce_blind_key.PATIENCE_S", 1.0)
    async with rotating_on(database, tmp_path) as it:
        await a_replica_answers(database, key_version=1)
        refused = await nser("rotate", "blind")
        assert refused.exit_code == 4
        assert "127.0.0.1:50051" in refused.output
        assert await phase(database) == (1, None)
        assert it.file.load().blind_version == 2, "the key that is brought to the replicas is this one"
        connection = await asyncpg.connect(database.owner_url)
        await connection.execute("UPDATE register.replica SET key_version = 2")
        await connection.close()
        done = await nser("rotate", "blind", "--start-only")
        assert done.exit_code == 0, done.output
        assert await phase(database) == (1, 2)
        assert ReplicaKeys.load(replica_keys).blind.version == 2


async def test_without_a_new_key_there_is_nothing_to_announce(
    nser: Nser,  # noqa: F811
    database: Database,
    tmp_path: Path,
    replica_keys: Path,
) -> None:
    async with rotating_on(database, tmp_path):
        refused = await nser("rotate", "blind", "--start-only")
        assert refused.exit_code == 4
        assert "no blind key of version 2" in refused.output
        assert (await nser("rotate", "blind", "--ring-only")).exit_code == 0
        assert await phase(database) == (1, None)
        assert ReplicaKeys.load(replica_keys).blind.version == 2
