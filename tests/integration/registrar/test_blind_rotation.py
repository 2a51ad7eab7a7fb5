"""Rotating the blind index on a real store: nobody is missed, at no moment, and nothing but the index changes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import asyncpg
import pytest

from lookup_core._dataplane import Decision, Lease
from lookup_core.domain.blind import LiveVersions
from lookup_core.domain.bst import Token
from lookup_core.domain.ids import PersonNo
from lookup_core.domain.period import Period
from lookup_core.kernel.clock import SystemClock
from lookup_core.kernel.errors import RequestIdReused, SettingsRefused
from lookup_core.kernel.keyring import KeyRing, Versions
from lookup_core.kernel.ring_in_use import RingInUse
from lookup_core.registrar import bulk
from lookup_core.registrar.people.identifiers import Kind
from lookup_core.registrar.recording import Ledger, Recording
from lookup_core.registrar.rotate_blind import NotInTurn, RotateBlind
from lookup_core.registrar.rotate_token import RotateToken, Rotating
from lookup_core.registrar.store.faults import BlindKeyLacking
from lookup_core.registrar.store.founding import found
from lookup_core.replica.keys_file import native_of
from lookup_core.replica.postgres_feed import QUERIES
from lookup_core.replica.snapshot import read_snapshot
from tests.integration.registrar.conftest import Rows
from tests.support.people import Someone, people, someone
from tests.support.registrar_desk import (
    RING,
    Desk,
    a_caller,
    a_request_id,
    an_identity,
    desk_on,
    verified_chain,
)
from tests.support.services import Database

pytestmark = pytest.mark.services


def with_versions(ring: KeyRing, newest: int) -> KeyRing:
    """The ring after as many rotations; the same keys each time."""
    roots = {**ring.blind_roots.keys} | {n: bytes(range(n, n + 32)) for n in range(2, newest + 1)}
    return replace(ring, blind_roots=Versions(MappingProxyType(roots), newest))


NEWER, NEWEST = with_versions(RING, 2), with_versions(RING, 3)


@dataclass
class Turning:
    """A desk, the acts of a rotation over its store, and a replica that loads the register anew at each look."""

    desk: Desk
    database: Database

    def __post_init__(self) -> None:
        assert self.desk.blind is not None
        self.acts = RotateBlind(self.desk.store, Ledger(self.desk.ring.feed), self.desk.blind)

    async def announce(self, version: int = 2) -> None:
        assert await self.acts.announce(version, a_caller()) is not None

    async def move_all(self) -> int:
        moved, after = 0, PersonNo(-1)
        while (group := await self.acts.move_some(after, a_caller())).last is not None:
            moved, after = moved + group.people, group.last
        return moved

    async def finish(self) -> bool:
        return await self.acts.finish(a_caller()) is not None

    async def replaced(self, token: Token) -> Token:
        """The token that the person has after this one was rotated."""
        recording = Recording(self.desk.store, self.desk.acknowledgement)
        secrets, ledger = self.desk.secrets, Ledger(self.desk.ring.feed)
        rotating = Rotating(token, "lost laptop", sees_all=True)
        rotate = RotateToken(recording, ledger, secrets, self.desk.clock)
        return (await rotate(rotating, self.desk.asked("Rotate", rotating.fields()))).token

    async def look(self, *, phone: str = "", document: str = "") -> Decision:
        keys = self.desk.ring.blind
        snapshot = await read_snapshot(self.database.replica_url, QUERIES, keys)
        lease = Lease()
        lease.arm(SystemClock().boottime_ns())
        return snapshot.index.check_named(lease, native_of(keys), phone=phone, national_id=document)

    async def excludes(self, person: Someone) -> bool:
        """By every way of naming the person."""
        ways = ({"phone": person.phone}, {"document": person.document})
        looks = [await self.look(**way) for way in (*ways, ways[0] | ways[1])]
        return all(look.outcome == "EXCLUDED" for look in looks)

    async def clears(self, person: Someone) -> bool:
        return (await self.look(phone=person.phone, document=person.document)).outcome == "NOT_EXCLUDED"


@pytest.fixture
async def it(database: Database) -> AsyncIterator[Turning]:
    """A register that was founded under version 1, and a ring that has the next two keys."""
    async with desk_on(database):
        pass
    async with desk_on(database, ring=NEWEST) as desk:
        yield Turning(desk, database)


async def test_people_are_found_in_every_phase_and_strangers_are_not(it: Turning, rows: Rows) -> None:
    before, during, after, stranger = people(4)
    await it.desk.register(before)
    await it.announce()
    assert await it.excludes(before)
    await it.desk.register(during)
    assert not await it.finish(), "somebody is held in the older form"
    assert await it.excludes(during)
    assert await it.move_all() == 1, "who came after the announcement is held in the newer form already"
    assert await it.excludes(before)
    assert await it.excludes(during)
    assert await it.finish()
    await it.desk.register(after)
    for person in (before, during, after):
        assert await it.excludes(person)
    assert await it.clears(stranger)
    for table in ("identifier", "bst_mapping"):
        assert await rows(f"SELECT DISTINCT key_version FROM register.{table}") == [2]
    assert await rows("SELECT key_version, key_announced FROM register.head") == [(2, None)]
    await verified_chain(it.database)


async def test_two_rotations_after_each_other(it: Turning, rows: Rows) -> None:
    wanjiku = someone()
    await it.desk.register(wanjiku)
    for version in (2, 3):
        await it.announce(version)
        assert await it.excludes(wanjiku)
        await it.move_all()
        assert await it.excludes(wanjiku)
        assert await it.finish()
        assert await it.excludes(wanjiku)
    again = await it.desk.register(wanjiku, Period.FIVE_YEARS)
    assert again.revision
    assert await rows("SELECT count(*) FROM register.person") == [1], "a known person is found"


async def test_a_move_needs_no_personal_data(it: Turning, owner: Any) -> None:
    """Whose PII was shredded stays findable."""
    wanjiku = someone()
    await it.desk.register(wanjiku)
    await owner.execute("DELETE FROM register.person_pii")
    await it.announce()
    await it.move_all()
    assert await it.finish()
    assert await it.excludes(wanjiku)


async def test_answers_tokens_and_request_ids_outlive_a_rotation(it: Turning) -> None:
    wanjiku, request_id = someone(), a_request_id()
    first = await it.desk.register(wanjiku, request_id=request_id)
    token = await it.desk.generate(an_identity(wanjiku))
    await it.announce()
    for act in (it.move_all, it.finish):
        assert await it.desk.register(wanjiku, request_id=request_id) == first
        with pytest.raises(RequestIdReused):
            await it.desk.register(wanjiku, Period.FIVE_YEARS, request_id=request_id)
        assert (await it.desk.generate(an_identity(wanjiku))).token == token.token
        await act()
    assert await it.desk.register(wanjiku, request_id=request_id) == first
    assert (await it.desk.generate(an_identity(wanjiku))).token == token.token


async def test_holders_of_a_phone_hold_it_in_one_form_and_are_moved_together(it: Turning, rows: Rows) -> None:
    """A check by the token of one finds the others by the form in which that one holds it."""
    phone = someone().phone
    first, second = (
        an_identity(phone=phone, document="11111111"),
        an_identity(phone=phone, document="22222222"),
    )
    await it.desk.register(first)
    await it.announce()
    await it.desk.register(second)
    versions = "SELECT DISTINCT key_version FROM register.identifier WHERE kind = 'phone'"
    assert await rows(versions) == [1], "a phone that is held is bound as it is held"
    group = await it.acts.move_some(PersonNo(-1), a_caller())
    assert group.people == 2
    assert await rows(versions) == [2]
    last = "SELECT statements FROM register.change ORDER BY revision DESC LIMIT 1"
    assert len(await rows(last)) == 1
    await it.move_all()
    assert await it.finish()
    for document in ("11111111", "22222222", ""):
        assert (await it.look(phone=phone, document=document)).outcome == "EXCLUDED"


async def test_a_registrar_that_took_another_phase_for_live_begins_anew(it: Turning, rows: Rows) -> None:
    """SAFETY.md 22: the phase is read under the counter's lock; whatever was prepared before is not committed."""
    late = RotateBlind(it.desk.store, Ledger(it.desk.ring.feed), it.desk.blind)
    async with desk_on(it.database, ring=NEWEST) as other:
        await late.announce(2, a_caller())
        assert other.blind is not None
        assert other.blind.live.newest == 1, "it has not heard of it"
        wanjiku, otieno = people(2)
        await other.register(wanjiku)
        assert await rows("SELECT DISTINCT key_version FROM register.identifier") == [2]
        await it.move_all()
        assert await it.finish()
        assert other.blind.live.is_rotation
        await other.register(otieno)
        assert other.blind.live == LiveVersions(2, 2, NEWER.blind.check)
    assert await it.excludes(wanjiku)
    assert await it.excludes(otieno)


async def test_without_the_look_under_the_lock_a_person_is_bound_in_a_form_that_nobody_looks_for(
    it: Turning, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with desk_on(it.database, ring=NEWEST) as other:
        await it.announce()
        await it.move_all()
        assert await it.finish()
        monkeypatch.setattr(
            "lookup_core.registrar.store.transaction.PostgresTransaction.refuse_other_versions",
            lambda self, live: None,
        )
        wanjiku = someone()
        await other.register(wanjiku)
    assert await it.clears(wanjiku), "the rule that was taken out did no harm"


async def test_two_movers_and_registrations_at_once(it: Turning, rows: Rows) -> None:
    known, coming = people(30), people(30)
    for person in known:
        await it.desk.register(person)
    await it.announce()
    async with desk_on(it.database, ring=NEWEST) as other:
        second = Turning(other, it.database)

        async def moves(one: Turning) -> None:
            while not await one.finish():
                await one.move_all()
                if (await it.desk.store.live_versions()).newest == 2 and not (
                    await it.desk.store.live_versions()
                ).is_rotation:
                    return

        async def registers() -> None:
            for person in coming:
                await other.register(person)
            for person in known:  # people whose rows are being moved
                await it.desk.register(person, Period.SIX_MONTHS)

        await asyncio.gather(registers(), moves(it), moves(second))
    assert await rows("SELECT DISTINCT key_version FROM register.identifier") == [2]
    assert await rows("SELECT count(*) FROM register.person") == [60]
    assert await rows("SELECT count(*) FROM register.audit_entry WHERE action = 'blind.finished'") == [1]
    for person in (*known[:3], *known[-3:], *coming[:3], *coming[-3:]):
        assert await it.excludes(person)
    await verified_chain(it.database)


async def test_every_phase_leaves_an_audit_line_and_no_index_in_it(it: Turning, rows: Rows) -> None:
    await it.desk.register(someone())
    await it.announce()
    await it.move_all()
    await it.finish()
    lines = await rows("SELECT action, reason FROM register.audit_entry WHERE subject = 'blind index'")
    assert [action for action, _ in lines] == ["blind.announced", "blind.moved", "blind.finished"]
    assert all("version 2" in reason for _, reason in lines)


async def test_a_version_is_announced_once_and_in_its_turn(it: Turning) -> None:
    with pytest.raises(NotInTurn):
        await it.acts.announce(3, a_caller())
    await it.announce()
    assert await it.acts.announce(2, a_caller()) is None
    with pytest.raises(NotInTurn):
        await it.acts.announce(3, a_caller())
    with pytest.raises(BlindKeyLacking):
        await it.acts.announce(4, a_caller())


async def test_a_registrar_without_the_key_writes_nothing(it: Turning, rows: Rows) -> None:
    keys = RingInUse(RING, lambda: NEWER)
    async with desk_on(it.database, keys=keys) as behind:
        await it.announce()
        people_before = await rows("SELECT count(*) FROM register.person")
        with pytest.raises(BlindKeyLacking, match="lacks a key"):
            await behind.register()
        assert await rows("SELECT count(*) FROM register.person") == people_before
        assert behind.blind is not None
        await behind.blind.look_for(
            await it.desk.store.live_versions()
        )  # the rotation brought a newer ring meanwhile
        await behind.register()


@pytest.mark.parametrize("finished", [False, True])
async def test_a_ring_that_lacks_the_key_or_has_another_one_refuses_to_start(
    it: Turning, *, finished: bool
) -> None:
    await it.announce()
    if finished:
        await it.finish()
    other = replace(
        RING,
        blind_roots=Versions(
            MappingProxyType({**RING.blind_roots.keys, 2: b"another key of version 2 0123456"}), 2
        ),
    )
    connection = await asyncpg.connect(it.database.registrar_url)
    try:
        with pytest.raises(SettingsRefused, match="up to version 1, the register works with version 2"):
            await found(connection, RING)
        with pytest.raises(SettingsRefused, match="another blind key of version 2"):
            await found(connection, other)
        assert (await found(connection, NEWER)).live.newest == 2
    finally:
        await connection.close()


async def test_a_bulk_load_waits_for_the_end_of_a_rotation(it: Turning) -> None:
    entry = bulk.Entry(an_identity(someone()), Period.ONE_YEAR)
    connection = await asyncpg.connect(it.database.owner_url)
    try:
        await it.announce()
        with pytest.raises(asyncpg.DataError, match="is being rotated"):
            await bulk.load(connection, NEWEST, [entry], at=SystemClock().now())
        assert await it.finish()
        await bulk.load(connection, NEWEST, [entry], at=SystemClock().now())
    finally:
        await connection.close()
    phone, document = entry.identity.phone, entry.identity.document
    assert phone is not None
    assert document is not None
    assert (await it.look(phone=phone.e164, document=document.number)).outcome == "EXCLUDED"


async def test_the_lock_of_an_identifier_is_the_same_for_a_mover_and_a_registrar(it: Turning) -> None:
    """The mover knows a held form alone; a registrar knows the identity. Both lock the oldest form that is live."""
    wanjiku = someone()
    await it.desk.register(wanjiku)
    for version in (2, 3):
        await it.announce(version)
        identifiers = it.desk.secrets.blinded(an_identity(wanjiku))
        assert identifiers.phone is not None

        async def looks(tx: Any, phone: Any = identifiers.phone) -> None:
            held = await tx.older_identifiers(PersonNo(-1), 10)
            [blind] = [each.blind for each in held if each.kind is Kind.PHONE]
            assert blind == phone.under(tx.live.oldest)

        await it.desk.store.write(looks)
        await it.move_all()
        assert await it.finish()


async def test_a_token_that_is_replaced_meanwhile_is_mapped_to_the_forms_that_are_held(
    it: Turning, rows: Rows
) -> None:
    """Who has the database's owner's eyes sees nobody in two forms, and nothing is left to move at the end."""
    wanjiku = someone()
    first = (await it.desk.generate(an_identity(wanjiku))).token
    await it.announce()
    mapped = (
        "SELECT mapped.kind, mapped.blind, mapped.key_version FROM register.bst_mapping AS mapped "
        "JOIN register.bst_token AS minted USING (token) WHERE minted.state = 'live' ORDER BY mapped.kind"
    )
    held = "SELECT kind, blind, key_version FROM register.identifier ORDER BY kind"
    second = await it.replaced(first)
    assert await rows(mapped) == await rows(held)
    await it.move_all()
    await it.replaced(second)
    assert await rows(mapped) == await rows(held)
    assert await it.finish()
    assert await rows("SELECT DISTINCT key_version FROM register.bst_mapping") == [2]
