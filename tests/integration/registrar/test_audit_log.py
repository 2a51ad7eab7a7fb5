"""The audit log on PostgreSQL: what is hashed, what is sealed, and that a verification sees every change."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from lookup_core.audit import copied
from lookup_core.audit.log import Log, LogBroken
from lookup_core.domain import merkle
from lookup_core.domain.merkle import leaf_hash
from lookup_core.kernel import notes
from tests.support.audit_log import ORIGIN, Attacker, AuditLog, an_entry, audit_log
from tests.support.services import Database

pytestmark = pytest.mark.services

SIZES = (1, 255, 700, 400)
"""Before, at and after a tile; what is under the last checkpoint is no whole tile."""


@pytest.fixture
async def log(database: Database) -> AsyncIterator[AuditLog]:
    async with audit_log(database) as opened:
        yield opened


@pytest.fixture
async def attacker(database: Database) -> AsyncIterator[Attacker]:
    connection = await asyncpg.connect(database.owner_url)
    yield Attacker(connection)
    await connection.close()


async def test_what_postgresql_copies_out_is_what_python_hashes(log: AuditLog, owner: Any) -> None:
    await log.append(100)
    stream, found = copied.Copied(), []

    async def take(arrived: bytes) -> None:
        for at in range(0, len(arrived), 7):  # however it arrives
            found.extend(stream.rows(arrived[at : at + 7]))

    await owner.copy_from_query(f"{copied.SELECT} ORDER BY entry_id", output=take, format="binary")
    entries = await Log(owner).following(0, 200)
    assert stream.is_complete
    assert [number for number, _ in found] == list(range(100))
    assert [copied.canonical(fields) for _, fields in found] == [entry.canonical() for entry in entries]
    assert [copied.leaf(fields) for _, fields in found] == [leaf_hash(each.canonical()) for each in entries]


async def test_every_entry_is_proved_to_whoever_has_a_checkpoint(log: AuditLog, owner: Any) -> None:
    checkpoint = await log.written(*SIZES)
    said = notes.parse_checkpoint(notes.open(checkpoint.note, *log.name.verifiers))
    assert (said.origin, said.size) == (ORIGIN, sum(SIZES))
    reader = Log(owner)
    leaves = [leaf_hash(entry.canonical()) for entry in await reader.following(0, said.size)]
    for index in (0, 1, 255, 256, 955, 956, 1023, 1024, said.size - 1):
        path = await reader.inclusion(index, said.size)
        assert path == merkle.inclusion_path(leaves, index)
        assert merkle.root_from_inclusion(leaves[index], index, said.size, path) == said.root
    for old in (1, 256, 300, 956, 1300, said.size):
        path = await reader.consistency(old, said.size)
        merkle.check_consistency(old, merkle.root(leaves[:old]), said.size, said.root, path)
        assert await reader.root(old) == merkle.root(leaves[:old])


async def test_an_untouched_log_passes(log: AuditLog) -> None:
    newest = await log.written(*SIZES)
    await log.append(3)
    verified = await log.verified(newest)
    assert verified.findings == []
    assert (verified.entries, verified.sealed, verified.checkpoints) == (sum(SIZES) + 3, sum(SIZES), 4)


EDITS = {
    "salt": "uuid_send(gen_random_uuid())",
    "at": "at + interval '1 microsecond'",
    "revision": "revision + 1",
    "request_id": "gen_random_uuid()",
    "actor": "'nobody'",
    "action": "'exclusion.extended'",
    "subject": "subject || ' '",
    "origin": "''",
    "reason": "'another'",
    "correlation_id": "'c'",
}


@pytest.mark.parametrize("column", EDITS)
async def test_an_edit_of_any_column_is_found_and_named(
    log: AuditLog, attacker: Attacker, column: str
) -> None:
    await log.written(*SIZES)
    await attacker.does(f"UPDATE register.audit_entry SET {column} = {EDITS[column]} WHERE entry_id = 300")
    first = (await log.verified()).first
    assert first is not None
    assert first.entry == 300


REST = (
    "revision, request_id, actor, action, subject, origin, reason, correlation_id FROM register.audit_entry"
)
ATTACKS = {
    "deleted": (300, ["DELETE FROM register.audit_entry WHERE entry_id = 300"]),
    "deleted and closed up": (
        300,
        [
            "DELETE FROM register.audit_entry WHERE entry_id = 300",
            "UPDATE register.audit_entry SET entry_id = entry_id - 1 WHERE entry_id > 300",
            "UPDATE register.audit_head SET size = size - 1",
        ],
    ),
    "put in": (
        300,
        [
            "UPDATE register.audit_entry SET entry_id = entry_id + 1 WHERE entry_id >= 300",
            f"INSERT INTO register.audit_entry SELECT 300, salt, at, {REST} WHERE entry_id = 299",
            "UPDATE register.audit_head SET size = size + 1",
        ],
    ),
    "there twice": (
        300,
        [
            f"INSERT INTO register.audit_entry SELECT 300, salt, at - interval '1s', {REST} WHERE entry_id = 300"
        ],
    ),
    "reordered": (
        300,
        ["UPDATE register.audit_entry SET entry_id = 700 - entry_id WHERE entry_id IN (300, 400)"],
    ),
    "tail cut": (1200, ["DELETE FROM register.audit_entry WHERE entry_id >= 1200"]),
    "tail cut, counter too": (
        1200,
        [
            "DELETE FROM register.audit_entry WHERE entry_id >= 1200",
            "UPDATE register.audit_head SET size = 1200",
        ],
    ),
    "before the beginning": (
        -1,
        [f"INSERT INTO register.audit_entry SELECT -1, salt, at, {REST} WHERE entry_id = 0"],
    ),
    "a tile taken out": (256, ["DELETE FROM register.audit_tile WHERE tile = 1"]),
    "a tile's root": (256, ["UPDATE register.audit_tile SET root = sha256('') WHERE tile = 1"]),
    "a checkpoint put under another size": (
        955,
        [
            "DELETE FROM register.audit_checkpoint WHERE size = 956",
            "UPDATE register.audit_checkpoint SET size = 956 WHERE size = 256",
        ],
    ),
}


@pytest.mark.parametrize("attack", ATTACKS)
async def test_whoever_owns_the_database_cannot_hide_a_change(
    log: AuditLog, attacker: Attacker, attack: str
) -> None:
    entry, statements = ATTACKS[attack]
    await log.written(*SIZES)
    for statement in statements:
        await attacker.does(statement)
    first = (await log.verified()).first
    assert first is not None
    assert first.entry == entry


async def test_a_change_with_all_hashes_made_again_is_found_by_the_first_checkpoint_over_it(
    log: AuditLog, attacker: Attacker
) -> None:
    await log.written(*SIZES)
    await attacker.does("UPDATE register.audit_entry SET actor = 'nobody' WHERE entry_id = 300")
    await attacker.makes_tiles_again()
    first = (await log.verified()).first
    assert first is not None
    assert (first.entry, "checkpoint of 956" in first.what) == (256, True)


async def test_a_log_signed_again_by_another_key_is_found(log: AuditLog, attacker: Attacker) -> None:
    await log.written(*SIZES)
    await attacker.does("UPDATE register.audit_entry SET actor = 'nobody' WHERE entry_id = 300")
    await attacker.makes_tiles_again(notes.Signer(ORIGIN, b"a" * 32))
    first = (await log.verified()).first
    assert first is not None
    assert "no signature by a key" in first.what


@pytest.mark.parametrize("is_compared", [True, False], ids=["with the checkpoint outside", "without it"])
async def test_a_whole_older_log_is_found_by_the_checkpoint_outside_alone(
    log: AuditLog, attacker: Attacker, is_compared: bool
) -> None:
    newest = await log.written(*SIZES)
    for statement in (
        "DELETE FROM register.audit_entry WHERE entry_id >= 956",
        "DELETE FROM register.audit_checkpoint WHERE size > 956",
        "DELETE FROM register.audit_tile WHERE level = 0 AND tile >= 3",
        "UPDATE register.audit_head SET size = 956",
    ):
        await attacker.does(statement)
    first = (await log.verified(*[newest] * is_compared)).first
    if is_compared:
        assert first is not None
        assert (first.entry, "the folder" in first.what) == (956, True)
    else:
        assert first is None, "a whole older log is a true log: only what is outside tells"


async def test_a_sealer_does_not_sign_over_an_entry_that_was_changed(
    log: AuditLog, attacker: Attacker
) -> None:
    await log.written(*SIZES)
    await attacker.does("UPDATE register.audit_entry SET actor = 'nobody' WHERE entry_id = 1300")
    await log.append(1)
    with pytest.raises(LogBroken, match="not those of its checkpoint"):
        await log.seal()


async def test_a_sealer_does_not_sign_over_a_gap(log: AuditLog, attacker: Attacker) -> None:
    await log.written(10)
    await log.append(3)
    await attacker.does("DELETE FROM register.audit_entry WHERE entry_id = 11")
    with pytest.raises(LogBroken, match="entry 11"):
        await log.seal()


async def test_a_log_of_several_stretches_is_put_together(log: AuditLog) -> None:
    newest = await log.written(70_000, 400)
    verified = await log.verified(newest, processes=2)
    assert (verified.findings, verified.sealed) == ([], 70_400)
    assert verified.checkpoints == 5  # none covers more than 20,000 entries


def test_an_entry_is_read_from_its_bytes() -> None:
    for number in range(6):
        entry = an_entry(number)
        assert type(entry).parse(entry.canonical()) == entry
