"""Destroying a person's data key: what goes, what stays, and what a later registration begins with."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from lookup_core.domain.bst import Token
from lookup_core.domain.ids import ExclusionId, PersonNo
from lookup_core.domain.period import Period
from lookup_core.kernel.envelope import EnvelopeBroken, PersonCipher, WrappedKey
from lookup_core.kernel.errors import ExclusionNotFound, InvalidRequest, RequestIdReused
from lookup_core.registrar.people.personal_data import Told
from lookup_core.registrar.recording import Ledger
from lookup_core.registrar.shred_personal_data import Ground, Shredding, ShredPersonalData
from lookup_core.registrar.store.reading import PII_COLUMNS
from tests.integration.registrar.conftest import Rows
from tests.support.people import someone
from tests.support.personal_data import read_back
from tests.support.registrar_desk import RING, Desk, a_request_id, an_identity, verified_chain
from tests.support.services import Database

pytestmark = pytest.mark.services

WANJIKU = Told("Wanjiku", "Kamau", "wanjiku@example.com", "Otieno", "receipt-1")


async def shred(desk: Desk, who: ExclusionId | Token, reason: str = "file 17/2026", **values: Any) -> Any:
    shredding = Shredding(who, Ground.ERASURE_REQUEST, reason)
    case = ShredPersonalData(
        desk.recording(desk.store, desk.acknowledgement), Ledger(desk.ring.feed), desk.clock
    )
    return await case(shredding, desk.asked("Shred", shredding.fields(), **values))


async def test_nothing_of_the_person_can_be_read_again_with_the_whole_ring(desk: Desk, owner: Any) -> None:
    registered = await desk.register(someone(), told=WANJIKU)
    before = await owner.fetchrow("SELECT * FROM register.person_pii")
    await shred(desk, registered.id)
    after = await owner.fetchrow("SELECT * FROM register.person_pii")
    assert [after[column] for column in ("wrapped_key", "manifest", *PII_COLUMNS)] == [None] * 10
    assert after["version"] == before["version"] + 1
    # Every old field under every key that is left, at every place: the data key was the only one.
    for kek in RING.keks.values():
        for column in PII_COLUMNS:
            if before[column] is None:
                continue
            for version in range(1, 4):
                with pytest.raises(EnvelopeBroken):
                    PersonCipher(kek, PersonNo(1)).decrypt(column, before[column], version)
    # The old wrapped key is what a backup would hold, and it would open them: so the docs say when it is gone.
    kept = PersonCipher.open(RING, WrappedKey(before["kek_id"], before["wrapped_key"]), PersonNo(1))
    assert kept.decrypt("first_name", before["first_name"], before["version"]) == "Wanjiku"


async def test_the_exclusion_stays_in_force_is_found_and_can_be_extended(desk: Desk, rows: Rows) -> None:
    wanjiku = someone()
    registered = await desk.register(wanjiku, Period.ONE_YEAR, told=WANJIKU)
    before = await rows("SELECT kind, blind, person_no FROM register.identifier ORDER BY kind")
    await shred(desk, registered.id)
    assert await rows("SELECT kind, blind, person_no FROM register.identifier ORDER BY kind") == before
    held = await desk.get(registered.id)
    assert (held.state, held.token) == (registered.state, registered.token)
    extended = await desk.extend(registered.id, Period.FIVE_YEARS)
    assert extended.id == registered.id
    assert (await desk.generate(an_identity(wanjiku))).token == registered.token


async def test_a_later_registration_is_the_same_person_with_a_new_data_key(
    desk: Desk, owner: Any, rows: Rows
) -> None:
    wanjiku = someone()
    registered = await desk.register(wanjiku, told=WANJIKU)
    [old_key] = await rows("SELECT wrapped_key FROM register.person_pii")
    await shred(desk, registered.id)
    again = await desk.register(wanjiku, told=Told("W."))
    assert again.token == registered.token
    assert await rows("SELECT count(*) FROM register.person") == [1]
    [(new_key, version, shredded_at)] = await rows(
        "SELECT wrapped_key, version, shredded_at FROM register.person_pii"
    )
    assert new_key != old_key
    assert (version, shredded_at) == (3, None)
    clear = (await read_back(owner, RING))[PersonNo(1)]
    assert clear["first_name"] == "W."
    assert "email" not in clear  # what was shredded does not come back


@pytest.mark.parametrize("state", ["live", "rotated", "revoked"])
async def test_a_person_can_be_named_by_any_token_of_theirs(
    desk: Desk, owner: Any, rows: Rows, state: str
) -> None:
    registered = await desk.register(someone(), told=WANJIKU)
    assert registered.token is not None
    await owner.execute("UPDATE register.bst_token SET state = $1", state)
    await shred(desk, registered.token)
    assert await rows("SELECT count(*) FROM register.person_pii WHERE wrapped_key IS NOT NULL") == [0]


async def test_it_is_done_once_and_audited_with_its_ground(
    desk: Desk, database: Database, rows: Rows
) -> None:
    registered = await desk.register(someone(), told=WANJIKU)
    request_id = a_request_id()
    first = await shred(desk, registered.id, request_id=request_id)
    assert await shred(desk, registered.id, request_id=request_id) == first
    later = await shred(desk, registered.id)
    assert later.shredded_at == first.shredded_at
    lines = (
        "SELECT action, subject, reason FROM register.audit_entry WHERE action LIKE 'pii%' ORDER BY entry_id"
    )
    assert await rows(lines) == [
        ("pii.shredded", str(registered.id), "erasure_request: file 17/2026"),
        ("pii.shredded.repeated", str(registered.id), ""),
        ("pii.shredded", str(registered.id), "erasure_request: file 17/2026"),
    ]  # fmt: skip
    with pytest.raises(RequestIdReused):
        await shred(desk, registered.id, "another reason", request_id=request_id)
    assert len(await verified_chain(database)) == 4


async def test_nobody_and_unprintable_reasons_are_refused_and_nothing_is_written(
    desk: Desk, rows: Rows
) -> None:
    registered = await desk.register(someone(), told=WANJIKU)
    with pytest.raises(ExclusionNotFound) as by_id:
        await shred(desk, ExclusionId(uuid4()))
    with pytest.raises(ExclusionNotFound) as by_token:
        await shred(desk, Token(b"x" * 16))
    assert (by_id.value.field, by_token.value.field) == ("id", "bst")
    with pytest.raises(InvalidRequest):
        await shred(desk, registered.id, "a\x1b[2Jb")
    assert await rows("SELECT count(*) FROM register.person_pii WHERE wrapped_key IS NOT NULL") == [1]
    assert await rows("SELECT count(*) FROM register.audit_entry") == [1]


async def test_a_registration_at_the_same_time_leaves_one_whole_row(desk: Desk, owner: Any) -> None:
    wanjiku = someone()
    registered = await desk.register(wanjiku, told=WANJIKU)
    await asyncio.gather(
        *(shred(desk, registered.id) for _ in range(4)),
        *(desk.register(wanjiku, told=WANJIKU) for _ in range(4)),
    )
    row = await owner.fetchrow("SELECT wrapped_key, shredded_at FROM register.person_pii")
    assert (row["wrapped_key"] is None) == (row["shredded_at"] is not None)
    await read_back(owner, RING)


async def test_the_database_refuses_a_shredded_row_that_still_holds_something(desk: Desk, owner: Any) -> None:
    registered = await desk.register(someone(), told=WANJIKU)
    await shred(desk, registered.id)
    with pytest.raises(asyncpg.CheckViolationError):
        await owner.execute("UPDATE register.person_pii SET phone = 'x'")
    with pytest.raises(asyncpg.CheckViolationError):
        await owner.execute("UPDATE register.person_pii SET shredded_at = NULL")
