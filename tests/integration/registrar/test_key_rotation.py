"""Moving personal data to another master key on a real PostgreSQL, and taking an old one out of the ring."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from lookup_core.kernel.ring_in_use import RingInUse
from lookup_core.registrar.key_rotations import KekInUse
from lookup_core.registrar.people.personal_data import Told
from lookup_core.registrar.store.port import Transaction
from lookup_core.registrar.store.reading import PII_COLUMNS
from tests.integration.registrar.conftest import Rows
from tests.support.broken_keys import LooksBeforeItCloses
from tests.support.people import people, someone
from tests.support.personal_data import read_back
from tests.support.registrar_desk import Desk, a_caller
from tests.support.rotations import Rotating, rotating_on, to_the_end
from tests.support.services import Database
from tests.support.waiting import until

pytestmark = pytest.mark.services

TOLD = Told("Wanjiku", "Kamau", "wanjiku@example.com")
ALL = f"SELECT person_no, wrapped_key, version, manifest, {', '.join(PII_COLUMNS)} FROM register.person_pii ORDER BY 1"


@pytest.fixture
async def it(database: Database, tmp_path: Path) -> AsyncIterator[Rotating]:
    async with rotating_on(database, tmp_path) as rotating:
        for person in people(20):
            await rotating.desk.register(person, told=TOLD)
        yield rotating


async def keks(rows: Rows) -> set[str]:
    return set(await rows("SELECT DISTINCT kek_id FROM register.person_pii WHERE wrapped_key IS NOT NULL"))


async def test_data_keys_are_wrapped_anew_and_the_fields_stay_as_they_are(
    it: Rotating, owner: Any, rows: Rows
) -> None:
    before, clear = await rows(ALL), await read_back(owner, it.file.load())
    kek_id = it.new_kek()
    begun = await it.owner.begin(kek_id, reencrypt=False)
    assert (begun.kind, begun.people) == ("rewrap", 20)
    await to_the_end(it.worker())
    after = await rows(ALL)
    assert [row[2:] for row in after] == [row[2:] for row in before]
    assert not {row[1] for row in after} & {row[1] for row in before}
    assert await keks(rows) == {kek_id}
    assert await read_back(owner, it.file.load()) == clear
    assert await rows("SELECT state, done, refused FROM register.key_rotation") == [("done", 20, 0)]
    told = "SELECT action, subject FROM register.audit_entry WHERE action LIKE 'pii%' ORDER BY entry_id"
    assert await rows(told) == [("pii.rotation_started", kek_id), ("pii.rotation_finished", kek_id)]


async def test_reencryption_leaves_no_byte_as_it_was(it: Rotating, owner: Any, rows: Rows) -> None:
    before, clear = await rows(ALL), await read_back(owner, it.file.load())
    await it.owner.begin(it.new_kek(), reencrypt=True)
    await to_the_end(it.worker())
    after = await rows(ALL)
    assert await read_back(owner, it.file.load()) == clear
    assert {row[2] for row in before} == {1}
    assert {row[2] for row in after} == {2}
    for old, new in zip(before, after, strict=True):
        assert not {value for value in old[3:] if value} & {value for value in new[3:] if value}


async def test_registrations_meanwhile_are_moved_too_whatever_ring_they_came_under(
    it: Rotating, owner: Any, rows: Rows
) -> None:
    """The desk has the old ring, as a registrar has that nobody told yet: it writes under the old master key."""
    kek_id = it.new_kek()
    await it.owner.begin(kek_id, reencrypt=True)
    worker, known = it.worker(chunk=3), someone()
    await it.desk.register(known, told=TOLD)
    assert await worker.step()
    newcomers = people(5)
    for person in newcomers:
        await it.desk.register(person, told=TOLD)
        assert await worker.step()
    await to_the_end(worker)
    assert await keks(rows) == {kek_id}
    assert len(await read_back(owner, it.file.load())) == 26
    # Now the desk meets a row under a key that it lacks, reads its ring again, and goes on with it.
    await it.desk.register(known, told=Told(first_name="Achieng"))
    assert it.keys.ring.active_kek == kek_id
    assert await rows("SELECT count(*) FROM register.audit_entry WHERE action = 'pii.refused'") == [0]
    assert "Achieng" in {fields["first_name"] for fields in (await read_back(owner, it.file.load())).values()}


async def test_without_a_newer_ring_the_row_is_refused_and_audited_and_the_exclusion_stands(
    it: Rotating, database: Database, rows: Rows
) -> None:
    known = someone()
    await it.desk.register(known, told=TOLD)
    await it.owner.begin(it.new_kek(), reencrypt=False)
    await to_the_end(it.worker())
    stale = Desk(it.desk.store, ring=it.desk.ring, keys=RingInUse(it.desk.ring))  # has no file to read again
    registered = await stale.register(known, told=Told(first_name="Achieng"))
    assert (await it.desk.get(registered.id)).id == registered.id
    [(subject, reason)] = await rows(
        "SELECT subject, reason FROM register.audit_entry WHERE action = 'pii.refused'"
    )
    assert subject == "person 21"
    assert "which this ring does not have" in reason


async def test_two_registrars_at_once_do_everybody_once(it: Rotating, owner: Any, rows: Rows) -> None:
    await it.owner.begin(it.new_kek(), reencrypt=True)
    workers = [it.worker(chunk=2) for _ in range(3)]

    is_done = asyncio.Event()

    async def work(worker: Any) -> None:
        while not is_done.is_set():
            await worker.step()

    working = asyncio.gather(*(work(worker) for worker in workers))
    await until(lambda: _is_done(rows), "the rotation is done")
    is_done.set()
    await working
    assert await rows("SELECT state, done FROM register.key_rotation") == [("done", 20)]
    assert await rows("SELECT DISTINCT version FROM register.person_pii") == [2]
    await read_back(owner, it.file.load())


async def test_a_chunk_that_is_lost_on_its_way_is_done_again_and_not_twice(
    it: Rotating, owner: Any, rows: Rows
) -> None:
    await it.owner.begin(it.new_kek(), reencrypt=True)
    worker = it.worker(chunk=6)
    await worker.step()

    async def dies_before_the_commit(tx: Transaction) -> None:
        await worker._one_chunk(tx)
        raise RuntimeError("the process is gone")

    with pytest.raises(RuntimeError):
        await it.desk.store.write(dies_before_the_commit)
    assert await rows("SELECT done, position FROM register.key_rotation") == [(6, 6)]
    await to_the_end(it.worker())
    assert await rows("SELECT state, done FROM register.key_rotation") == [("done", 20)]
    assert await rows("SELECT DISTINCT version FROM register.person_pii") == [2]


@pytest.mark.parametrize("reencrypt", [False, True])
async def test_what_does_not_decrypt_is_told_once_and_keeps_nobody_else(
    it: Rotating, owner: Any, rows: Rows, reencrypt: bool
) -> None:
    column = "phone" if reencrypt else "wrapped_key"
    await owner.execute(
        f"UPDATE register.person_pii SET {column} = 'x' || {column} WHERE person_no IN (3, 11)"
    )
    kek_id = it.new_kek()
    await it.owner.begin(kek_id, reencrypt=reencrypt)
    await to_the_end(it.worker())
    assert await rows("SELECT state, done, refused FROM register.key_rotation") == [("done", 18, 2)]
    assert await rows("SELECT subject FROM register.audit_entry WHERE action = 'pii.refused' ORDER BY 1") == [
        "person 11",
        "person 3",
    ]
    assert await rows("SELECT count(*) FROM register.person_pii WHERE kek_id = $1", kek_id) == [18]


async def test_a_shredded_person_stays_shredded(it: Rotating, owner: Any, rows: Rows) -> None:
    await owner.execute(
        f"UPDATE register.person_pii SET wrapped_key = NULL, manifest = NULL, shredded_at = now(), "
        f"{', '.join(f'{column} = NULL' for column in PII_COLUMNS)} WHERE person_no = 4"
    )
    await it.owner.begin(it.new_kek(), reencrypt=True)
    await to_the_end(it.worker())
    assert await rows("SELECT state, done, total FROM register.key_rotation") == [("done", 19, 19)]
    assert await rows("SELECT wrapped_key FROM register.person_pii WHERE person_no = 4") == [None]


async def test_a_newer_master_key_turns_the_rotation_that_runs(it: Rotating, owner: Any, rows: Rows) -> None:
    first = it.new_kek()
    await it.owner.begin(first, reencrypt=True)
    await it.worker(chunk=5).step()
    second = it.new_kek()
    await it.owner.begin(second, reencrypt=False)
    await to_the_end(it.worker())
    assert await rows("SELECT kind, kek_id, state, done FROM register.key_rotation") == [
        ("reencrypt", second, "done", 20)
    ]
    assert await keks(rows) == {second}
    await read_back(owner, it.file.load())


# -- an old master key leaves


async def test_a_master_key_leaves_only_when_it_wraps_nothing(it: Rotating, owner: Any, rows: Rows) -> None:
    old, new = it.first_kek, it.new_kek()
    with pytest.raises(KekInUse, match="20 people"):
        await it.owner.retire(old)
    assert await rows("SELECT count(*) FROM register.retired_kek") == [0]
    await it.desk.register(told=TOLD)  # still under the old one: it was opened again
    await it.owner.begin(new, reencrypt=False)
    await to_the_end(it.worker())
    await it.owner.retire(old)
    it.file.change(lambda ring: ring.without_kek(old))
    assert set((await it.owner.standing()).retired) == {old}
    assert set(it.file.load().keks) == {new}
    assert len(await read_back(owner, it.file.load())) == 21
    told = "SELECT action FROM register.audit_entry WHERE action LIKE 'keys%' ORDER BY entry_id"
    assert await rows(told) == ["keys.retired", "keys.not_retired", "keys.retired"]


async def test_a_registrar_with_an_old_ring_does_not_write_under_a_retired_key(
    it: Rotating, owner: Any, rows: Rows
) -> None:
    old, new = it.first_kek, it.new_kek()
    await it.owner.begin(new, reencrypt=False)
    await to_the_end(it.worker())
    await it.owner.retire(old)
    await it.desk.register(told=TOLD)  # its ring is the old one: it reads the file again
    assert it.keys.ring.active_kek == new
    assert await keks(rows) == {new}
    stale = Desk(it.desk.store, ring=it.desk.ring, keys=RingInUse(it.desk.ring))
    registered = await stale.register(told=TOLD)
    assert registered.token is not None
    [reason] = await rows("SELECT reason FROM register.audit_entry WHERE action = 'pii.refused'")
    assert "retired" in reason
    assert await keks(rows) == {new}


@pytest.mark.parametrize(
    "broken", [pytest.param(False, id="kept"), pytest.param(True, id="broken", marks=pytest.mark.breaks)]
)
async def test_a_registration_under_way_is_waited_for_and_keeps_its_key(
    it: Rotating, owner: Any, rows: Rows, broken: bool
) -> None:
    old, new = it.first_kek, it.new_kek()
    await it.owner.begin(new, reencrypt=False)
    await to_the_end(it.worker())
    [row] = await owner.fetch(ALL + " LIMIT 1")
    transaction = owner.transaction()
    await transaction.start()
    await owner.execute(
        "UPDATE register.person_pii SET kek_id = $1, wrapped_key = $2 WHERE person_no = 1",
        old,
        row["wrapped_key"],
    )
    keys = LooksBeforeItCloses(it.owner._pool, a_caller()) if broken else it.owner
    retiring = asyncio.create_task(keys.retire(old))
    done, _ = await asyncio.wait({retiring}, timeout=1.0)
    assert bool(done) is broken
    await transaction.commit()
    if broken:
        await retiring
        assert old in await keks(rows)  # nobody will be able to read this row
        return
    with pytest.raises(KekInUse, match="1 people"):
        await retiring
    assert await rows("SELECT count(*) FROM register.retired_kek") == [0]


# -- the ring in use


async def test_a_ring_of_another_register_is_not_taken_in(it: Rotating, tmp_path: Path) -> None:
    other = type(it.desk.ring).create()
    keys = RingInUse(it.desk.ring, lambda: other)
    assert not await keys.renew("test")
    assert keys.ring is it.desk.ring


async def test_a_new_ring_leaves_its_line_in_the_audit_log(it: Rotating, rows: Rows) -> None:
    worker = it.worker()
    it.file.change(lambda ring: ring.with_new("audit_signing"))
    assert await worker._keys.renew("SIGHUP")
    await worker.step()
    assert await rows("SELECT action, subject FROM register.audit_entry WHERE action LIKE 'keys%'") == [
        ("keys.ring_renewed", "audit_signing 2")
    ]


async def test_a_new_salt_is_what_the_next_token_is_minted_with(it: Rotating) -> None:
    before = it.desk.secrets.ring.bst_salt
    it.file.change(lambda ring: ring.with_new("bst_salt"))
    assert await it.keys.renew("test")
    assert it.desk.secrets.ring.bst_salt.of(1) == before.current
    assert it.desk.secrets.ring.bst_salt.current != before.current
    registered = await it.desk.register(told=TOLD)
    assert registered.token is not None
    assert (await it.desk.validate(f"{_text(registered.token)}")).is_valid


async def _is_done(rows: Rows) -> bool:
    return await rows("SELECT state FROM register.key_rotation") == ["done"]


def _text(token: Any) -> str:
    from lookup_core.domain.bst import format_token

    return format_token(token)
