"""An attacker who may write every table swaps, moves, cuts and puts back ciphertexts of personal data: each is refused,
stays as evidence, and leaves its line in the audit log, while the exclusion goes on.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lookup_core.domain.ids import PersonNo
from lookup_core.kernel.envelope import EnvelopeBroken, PersonCipher, WrappedKey
from lookup_core.registrar.people.personal_data import Told
from lookup_core.registrar.store.reading import PII_COLUMNS
from tests.support.broken_keys import ForgetsTheManifest
from tests.support.people import someone
from tests.support.personal_data import read_back, readable
from tests.support.registrar_desk import RING, Desk

WANJIKU = Told("Wanjiku", "Kamau", "wanjiku@example.com", "Otieno", "receipt-1")
MARRIED = replace(WANJIKU, last_name="Otieno")
Tampering = Callable[[Any], Awaitable[None]]


async def swap_columns(owner: Any) -> None:
    await owner.execute(
        "UPDATE register.person_pii SET first_name = last_name, last_name = first_name WHERE person_no = 1"
    )


async def swap_people(owner: Any) -> None:
    """The phones of two people, each under the other's key."""
    await owner.execute(
        "UPDATE register.person_pii AS one SET phone = other.phone FROM register.person_pii AS other "
        "WHERE one.person_no = 1 AND other.person_no = 2"
    )


async def move_a_row(owner: Any) -> None:
    """Another person's whole row, wrapped key and all."""
    columns = ("kek_id", "wrapped_key", "version", "manifest", *PII_COLUMNS)
    moved = ", ".join(f"{column} = other.{column}" for column in columns)
    await owner.execute(
        f"UPDATE register.person_pii AS one SET {moved} FROM register.person_pii AS other "
        "WHERE one.person_no = 1 AND other.person_no = 2"
    )


async def put_back_a_field(owner: Any) -> None:
    """The last name as it was one write ago."""
    await owner.execute(
        "UPDATE register.person_pii SET last_name = (SELECT last_name FROM kept WHERE person_no = 1) "
        "WHERE person_no = 1"
    )


async def cut_a_column(owner: Any) -> None:
    await owner.execute("UPDATE register.person_pii SET email = NULL WHERE person_no = 1")


async def cut_the_manifest(owner: Any) -> None:
    await owner.execute("UPDATE register.person_pii SET email = NULL, manifest = NULL WHERE person_no = 1")


async def cut_the_end(owner: Any) -> None:
    await owner.execute(
        "UPDATE register.person_pii SET email = substr(email, 1, length(email) - 1) WHERE person_no = 1"
    )


async def flip_a_bit(owner: Any) -> None:
    await owner.execute(
        "UPDATE register.person_pii SET document = set_bit(document, 200, 1 - get_bit(document, 200))"
    )


async def flip_a_bit_of_the_key(owner: Any) -> None:
    await owner.execute(
        "UPDATE register.person_pii SET wrapped_key = set_bit(wrapped_key, 9, 1 - get_bit(wrapped_key, 9))"
    )


async def rename_the_master_key(owner: Any) -> None:
    await owner.execute("UPDATE register.person_pii SET kek_id = 'kek-forged'")


async def turn_the_version_back(owner: Any) -> None:
    await owner.execute("UPDATE register.person_pii SET version = 1 WHERE person_no = 1")


ATTACKS = (
    *(swap_columns, swap_people, move_a_row, put_back_a_field, cut_a_column, cut_the_manifest, cut_the_end),
    *(flip_a_bit, flip_a_bit_of_the_key, rename_the_master_key, turn_the_version_back),
)


@pytest.mark.services
@pytest.mark.parametrize("tamper", ATTACKS, ids=lambda attack: attack.__name__)
async def test_what_was_tampered_with_is_refused_audited_and_kept_as_evidence(
    desk: Desk, owner: Any, tamper: Tampering
) -> None:
    wanjiku, other = someone(), someone()
    await desk.register(wanjiku, told=WANJIKU)
    await desk.register(other, told=replace(WANJIKU, first_name="Achieng"))
    await owner.execute("CREATE TABLE kept AS SELECT * FROM register.person_pii")
    await desk.register(wanjiku, told=MARRIED)
    assert await readable(owner, RING)
    await tamper(owner)
    assert not await readable(owner, RING)
    evidence = await owner.fetchrow("SELECT * FROM register.person_pii WHERE person_no = 1")
    registered = await desk.register(wanjiku, told=WANJIKU, actor="key officer")
    assert registered.token is not None
    assert await owner.fetchrow("SELECT * FROM register.person_pii WHERE person_no = 1") == evidence
    lines = await owner.fetch(
        "SELECT actor, subject, reason FROM register.audit_entry WHERE action = 'pii.refused'"
    )
    assert [(line["actor"], line["subject"]) for line in lines] == [("key officer", "person 1")]
    assert lines[0]["reason"]
    for word in ("Wanjiku", "Kamau", wanjiku.phone[1:], wanjiku.document):
        assert word not in lines[0]["reason"]


@pytest.mark.services
async def test_a_row_that_nobody_touched_is_not_refused(desk: Desk, owner: Any) -> None:
    """The other side of the attacks: without one, the same steps leave no line and the newest name."""
    wanjiku = someone()
    await desk.register(wanjiku, told=WANJIKU)
    await desk.register(wanjiku, told=MARRIED)
    assert (await read_back(owner, RING))[PersonNo(1)]["last_name"] == "Otieno"
    assert await owner.fetchval("SELECT count(*) FROM register.audit_entry WHERE action = 'pii.refused'") == 0


# -- the same without a database, for every place and length

ROW = st.dictionaries(st.sampled_from(PII_COLUMNS), st.text(max_size=40), min_size=1)


@given(clear=ROW, version=st.integers(1, 2**31 - 1), number=st.integers(1, 2**62))
@settings(max_examples=60)
def test_a_row_reads_back_in_its_place_and_in_no_other(
    clear: dict[str, str], version: int, number: int
) -> None:
    key, cipher = PersonCipher.create(RING, PersonNo(number))
    fields, manifest = cipher.encrypt_row(clear, version)
    assert cipher.decrypt_row(fields, manifest, version) == clear
    elsewhere = PersonCipher.open(RING, key, PersonNo(number + 1))
    refused(lambda: elsewhere.decrypt_row(fields, manifest, version))
    refused(lambda: cipher.decrypt_row(fields, manifest, version - 1))
    name = next(iter(fields))
    without = {column: stored for column, stored in fields.items() if column != name}
    refused(lambda: cipher.decrypt_row(without, manifest, version))
    for other in set(PII_COLUMNS) - set(fields):
        refused(lambda other=other: cipher.decrypt_row(without | {other: fields[name]}, manifest, version))
        refused(lambda other=other: cipher.decrypt_row(fields | {other: fields[name]}, manifest, version))


def test_without_the_manifest_a_field_can_be_cut_off_and_nobody_notices() -> None:
    key, cipher = PersonCipher.create(RING, PersonNo(7))
    fields, manifest = cipher.encrypt_row({"phone": "+254712345678", "email": "w@example.com"}, 3)
    del fields["email"]
    refused(lambda: cipher.decrypt_row(fields, manifest, 3))
    broken = ForgetsTheManifest.open(RING, key, PersonNo(7))
    assert broken.decrypt_row(fields, manifest, 3) == {"phone": "+254712345678"}


@given(data=st.data())
@settings(max_examples=150)
def test_every_flipped_bit_and_every_cut_is_refused(data: st.DataObject) -> None:
    key, cipher = PersonCipher.create(RING, PersonNo(7))
    fields, manifest = cipher.encrypt_row({"phone": "+254712345678", "email": "w@example.com"}, 3)
    parts = {**fields, "manifest": manifest, "key": key.wrapped}
    name = data.draw(st.sampled_from(sorted(parts)))
    stored = parts[name]
    if data.draw(st.booleans()):
        bit = data.draw(st.integers(0, len(stored) * 8 - 1))
        altered = bytearray(stored)
        altered[bit // 8] ^= 1 << bit % 8
        parts[name] = bytes(altered)
    else:
        parts[name] = stored[: data.draw(st.integers(0, len(stored) - 1))]

    def read() -> object:
        held = PersonCipher.open(RING, WrappedKey(key.kek_id, parts["key"]), PersonNo(7))
        return held.decrypt_row({column: parts[column] for column in fields}, parts["manifest"], 3)

    refused(read)


def refused(read: Callable[[], object]) -> None:
    with pytest.raises(EnvelopeBroken):
        read()
