"""Whole registrars that seal: one of them at a time, outside too, and never over a store that was set back."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import asyncpg
import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from lookup_core.audit.folder import newest_in
from lookup_core.audit.log import Log
from lookup_core.audit.verifying import Outside, Verified, verify
from lookup_core.domain import merkle
from lookup_core.domain.audit_entry import AuditEntry
from lookup_core.kernel import notes
from lookup_core.kernel.errors import SettingsRefused
from lookup_core.registrar.audit.places import Folder, Published
from lookup_core.registrar.audit.sealing import name_for
from nser.access.v1 import access_pb2
from nser.audit.v1 import audit_pb2
from tests.support.audit_log import Attacker
from tests.support.refusals import refused
from tests.support.registrar_desk import RING
from tests.support.running_registrar import RunningRegistrar, running_registrar
from tests.support.services import Database
from tests.support.waiting import until

pytestmark = pytest.mark.services

ADMIN = "nser:admin"
SEALING_S = 30.0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    outside = tmp_path / "outside"
    outside.mkdir()
    return outside


async def sealed(owner: Any) -> bool:
    head = await Log(owner).head()
    return 0 < head.size == head.sealed


async def verified(database: Database, owner: Any, folder: Path) -> Verified:
    origin = (await Log(owner).head()).origin
    kept = newest_in(folder)
    outside = [] if kept is None else [Outside(kept.where, kept.note)]
    return await verify(database.owner_url, name_for(RING, origin).verifiers, outside, processes=0)


async def is_outside(folder: Path, owner: Any) -> bool:
    newest = await Log(owner).checkpoint()
    kept = newest_in(folder)
    return newest is not None and kept is not None and kept.note == newest[1]


def files_in(folder: Path) -> list[Path]:
    return list(folder.rglob("*.checkpoint"))


def outside(folder: Path) -> dict[str, Any]:
    return {"audit_witness_dir": folder, "audit_witness_dir_every_s": 0}


async def test_what_is_written_is_sealed_and_outside_within_seconds(
    database: Database, owner: Any, folder: Path
) -> None:
    async with running_registrar(database, **outside(folder)) as running:
        admin = await running.key(ADMIN)
        await running.access.ListKeys(access_pb2.ListKeysRequest(), metadata=admin)
        await until(lambda: sealed(owner), "everything is sealed", within_s=SEALING_S)
        await until(lambda: is_outside(folder, owner), "the checkpoint is outside", within_s=SEALING_S)
        told = await verified(database, owner, folder)
    actions = [entry.action for entry in await Log(owner).following(0, 10)]
    assert actions == ["key.created", "keys.listed"]
    assert (told.findings, told.sealed, told.outside) == ([], 2, 1)
    [file] = files_in(folder)
    assert stat.S_IMODE(file.stat().st_mode) == 0o444


async def test_silence_is_told(database: Database, owner: Any) -> None:
    async with running_registrar(database, audit_heartbeat_s=1):
        await until(lambda: sealed(owner), "a heartbeat is sealed", within_s=SEALING_S)
    [entry] = await Log(owner).following(0, 1)
    assert (entry.actor, entry.action) == ("registrar", "audit.heartbeat")


async def written_twice_and_set_back(database: Database, owner: Any, folder: Path) -> None:
    """A log of two entries, of which the database then has one, as a restored backup would; the folder has both."""
    async with running_registrar(database, **outside(folder)) as running:
        await running.key(ADMIN)
        await until(lambda: sealed(owner), "the first is sealed", within_s=SEALING_S)
        await running.key(ADMIN)
        await until(lambda: sealed(owner), "the second is sealed", within_s=SEALING_S)
        await until(lambda: is_outside(folder, owner), "and outside", within_s=SEALING_S)
    for statement in (
        "DELETE FROM register.audit_checkpoint WHERE size > 1",
        "DELETE FROM register.audit_entry WHERE entry_id > 0",
        "UPDATE register.audit_head SET size = 1",
    ):
        await Attacker(owner).does(statement)


@pytest.mark.parametrize(
    "is_compared", [True, pytest.param(False, marks=pytest.mark.breaks)], ids=["kept", "without-comparing"]
)
async def test_a_restored_older_database_is_found_and_closed(
    database: Database, owner: Any, folder: Path, monkeypatch: pytest.MonkeyPatch, is_compared: bool
) -> None:
    await written_twice_and_set_back(database, owner, folder)
    if not is_compared:

        async def nothing(self: Folder, log: Log, newest: Published | None) -> None: ...

        monkeypatch.setattr(Folder, "compare", nothing)
    async with running_registrar(database, **outside(folder)) as running:
        before = len(files_in(folder))
        if not is_compared:
            await running.key(ADMIN)  # written over what was acknowledged before
            await until(lambda: sealed(owner), "and sealed", within_s=SEALING_S)
            return
        await is_closed(running)
        assert not await sealed_more(owner)
        assert len(files_in(folder)) == before
        assert "has a checkpoint of 2 entries, the store has 1" in running.registrar.standing.finding
    told = await verified(database, owner, folder)
    assert told.first is not None
    assert told.first.entry == 1


async def sealed_more(owner: Any) -> bool:
    return (await Log(owner).head()).sealed > 1


async def is_closed(running: RunningRegistrar) -> None:
    call = running.access.ListKeys(
        access_pb2.ListKeysRequest(), metadata=(("authorization", "Bearer whoever"),)
    )
    refusal = await refused(call)
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAVAILABLE, "STORE_BEHIND_WITNESS")
    health = health_pb2_grpc.HealthStub(running.channel)

    async def is_not_serving() -> bool:
        said = await health.Check(health_pb2.HealthCheckRequest())
        return bool(said.status == health_pb2.HealthCheckResponse.NOT_SERVING)

    await until(is_not_serving, "its health says so")
    assert (await running.registrar.status())["phase"] == "closed"


async def test_a_database_of_another_history_is_found_and_closed(
    database: Database, owner: Any, folder: Path
) -> None:
    async with running_registrar(database, **outside(folder)) as running:
        await running.key(ADMIN)
        await until(lambda: is_outside(folder, owner), "it is outside", within_s=SEALING_S)
    await Attacker(owner).does("UPDATE register.audit_entry SET actor = 'nobody'")
    async with running_registrar(database, **outside(folder)) as running:
        await is_closed(running)


async def test_two_registrars_seal_one_log_and_the_second_takes_over(
    database: Database, owner: Any, folder: Path
) -> None:
    async with running_registrar(database, **outside(folder)) as one:
        await one.key(ADMIN)
        await until(lambda: sealed(owner), "the first leads", within_s=SEALING_S)
        async with running_registrar(database, **outside(folder)) as other:
            keys = [await each.key(ADMIN) for each in (one, other) for _ in range(3)]
            await until(lambda: sealed(owner), "what both wrote is sealed", within_s=SEALING_S)
            assert await leaders(owner) == 1
            await owner.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted"
                " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
            )
            keys += [await each.key(ADMIN) for each in (one, other)]
            await until(lambda: sealed(owner), "somebody leads again", within_s=SEALING_S)
            assert await leaders(owner) == 1
        assert len(keys) == 8
        await until(lambda: is_outside(folder, owner), "it is outside", within_s=SEALING_S)
    told = await verified(database, owner, folder)
    assert (told.findings, told.entries) == ([], 9)


async def leaders(owner: Any) -> int:
    return int(
        await owner.fetchval(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        )
    )


async def test_a_log_keeps_its_name(database: Database) -> None:
    async with running_registrar(database, audit_origin="register.example/audit"):
        pass
    with pytest.raises(SettingsRefused, match=r"register\.example/audit"):
        async with running_registrar(database, audit_origin="another.example/audit"):
            pass


async def test_a_folder_that_is_not_there_is_refused_at_the_start(database: Database, tmp_path: Path) -> None:
    with pytest.raises(SettingsRefused, match="NSER_AUDIT_WITNESS_DIR"):
        async with running_registrar(database, audit_witness_dir=tmp_path / "nowhere"):
            pass


async def test_entries_fall_into_the_partition_of_their_month(database: Database, owner: Any) -> None:
    async with running_registrar(database) as running:
        await running.key(ADMIN)
    [partition] = await owner.fetch(
        "SELECT DISTINCT tableoid::regclass::text AS name FROM register.audit_entry"
    )
    assert partition["name"] == f"register.audit_entry_{(await _month(owner))}"
    for statement in ("UPDATE {} SET actor = ''", "DELETE FROM {}", "TRUNCATE {}"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await owner.execute(statement.format(partition["name"]))


async def test_an_outsider_proves_an_entry_and_the_growth_from_what_the_calls_give(
    database: Database, owner: Any
) -> None:
    async with running_registrar(database) as running:
        admin, reader = await running.key(ADMIN), await running.key("nser:read")
        await until(lambda: sealed(owner), "both keys are sealed", within_s=SEALING_S)
        early = await running.audit.GetCheckpoint(audit_pb2.GetCheckpointRequest(), metadata=reader)
        proved = await running.audit.ProveEntry(audit_pb2.ProveEntryRequest(entry=1), metadata=admin)
        await until(lambda: sealed(owner), "the reading is sealed", within_s=SEALING_S)
        request = audit_pb2.ProveConsistencyRequest(old_size=early.size, covering=early.size + 1)
        grown = await running.audit.ProveConsistency(request, metadata=reader)
        missing = await refused(
            running.audit.ProveEntry(audit_pb2.ProveEntryRequest(entry=1_000), metadata=admin)
        )
        denied = await refused(running.audit.ProveEntry(audit_pb2.ProveEntryRequest(), metadata=reader))
        longer = audit_pb2.ProveConsistencyRequest(old_size=1_000)
        unproved = await refused(running.audit.ProveConsistency(longer, metadata=reader))
    origin = (await Log(owner).head()).origin
    verifiers = name_for(RING, origin).verifiers

    def opened(checkpoint: str) -> notes.Checkpoint:
        return notes.parse_checkpoint(notes.open(checkpoint, *verifiers))

    entry, covering, old, new = (
        AuditEntry.parse(proved.canonical),
        opened(proved.checkpoint),
        opened(early.checkpoint),
        opened(grown.checkpoint),
    )
    leaf = merkle.leaf_hash(proved.canonical)
    assert merkle.root_from_inclusion(leaf, 1, covering.size, proved.path) == covering.root
    assert entry.action == "key.created"
    merkle.check_consistency(old.size, old.root, new.size, new.root, grown.path)
    assert new.size > old.size == early.size
    assert [each.reason for each in (missing, denied, unproved)] == [
        *("AUDIT_ENTRY_NOT_FOUND", "NOT_PERMITTED", "INVALID_REQUEST"),
    ]
    read = [each.subject for each in await Log(owner).following(0, 100) if each.action == "audit.read"]
    assert read == ["entry 1", "entry 1000"]


async def _month(owner: Any) -> str:
    return str(await owner.fetchval("SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY_MM')"))
