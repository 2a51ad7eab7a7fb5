from dataclasses import replace
from types import MappingProxyType

import pytest

from lookup_core.domain.ids import PersonNo
from lookup_core.kernel.envelope import (
    EnvelopeBroken,
    PersonCipher,
    WrappedKey,
    rewrap,
)
from lookup_core.kernel.keyring import KeyRing

WANJIKU, OTIENO = PersonNo(1), PersonNo(2)
RING = KeyRing.create()


def rotated(ring):
    return replace(ring, keks=MappingProxyType({**ring.keks, "kek-new": b"n" * 32}), active_kek="kek-new")


def test_a_field_is_read_by_whoever_has_the_ring():
    wrapped, cipher = PersonCipher.create(RING, WANJIKU)
    stored = cipher.encrypt("phone", "+254712345678", 1)
    assert b"712345678" not in stored
    assert PersonCipher.open(RING, wrapped, WANJIKU).decrypt("phone", stored, 1) == "+254712345678"


@pytest.mark.parametrize("text", ["", "Wanjikũ wa Ngũgĩ", "x" * 4096])
def test_any_text_survives(text):
    _, cipher = PersonCipher.create(RING, WANJIKU)
    assert cipher.decrypt("first_name", cipher.encrypt("first_name", text, 3), 3) == text


def test_the_same_text_twice_looks_different():
    _, cipher = PersonCipher.create(RING, WANJIKU)
    assert cipher.encrypt("phone", "x", 1) != cipher.encrypt("phone", "x", 1)


def test_a_field_is_bound_to_its_column_version_and_row():
    wrapped, cipher = PersonCipher.create(RING, WANJIKU)
    stored = cipher.encrypt("phone", "+254712345678", 1)
    same_key_other_row = PersonCipher.open(RING, wrapped, OTIENO)
    for attempt in (
        lambda: cipher.decrypt("email", stored, 1),
        lambda: cipher.decrypt("phone", stored, 2),
        lambda: same_key_other_row.decrypt("phone", stored, 1),
    ):
        with pytest.raises(EnvelopeBroken, match="altered or moved"):
            attempt()


def test_every_altered_byte_is_noticed():
    _, cipher = PersonCipher.create(RING, WANJIKU)
    stored = cipher.encrypt("phone", "+254712345678", 1)
    for place in range(len(stored)):
        altered = bytearray(stored)
        altered[place] ^= 1
        with pytest.raises(EnvelopeBroken):
            cipher.decrypt("phone", bytes(altered), 1)


@pytest.mark.parametrize("stored", [b"", b"\x01", b"\x01" + b"0" * 12, b"\x02" + b"0" * 40])
def test_what_is_no_field_is_refused(stored):
    _, cipher = PersonCipher.create(RING, WANJIKU)
    with pytest.raises(EnvelopeBroken):
        cipher.decrypt("phone", stored, 1)


def test_an_altered_wrapped_key_is_noticed():
    wrapped, _ = PersonCipher.create(RING, WANJIKU)
    for altered in (wrapped.wrapped[:-1], wrapped.wrapped[:-1] + b"\0", b"", b"\0" * 40):
        with pytest.raises(EnvelopeBroken):
            PersonCipher.open(RING, WrappedKey(wrapped.kek_id, altered), WANJIKU)


def test_another_ring_opens_nothing():
    wrapped, _ = PersonCipher.create(RING, WANJIKU)
    with pytest.raises(EnvelopeBroken, match="does not have"):
        PersonCipher.open(KeyRing.create(), wrapped, WANJIKU)


def test_a_master_key_is_rotated_without_touching_the_data():
    wrapped, cipher = PersonCipher.create(RING, WANJIKU)
    stored = cipher.encrypt("phone", "+254712345678", 1)
    newer = rotated(RING)
    rewrapped = rewrap(newer, wrapped)
    assert rewrapped.kek_id == "kek-new"
    assert rewrap(newer, rewrapped) == rewrapped
    assert PersonCipher.open(newer, rewrapped, WANJIKU).decrypt("phone", stored, 1) == "+254712345678"


def test_a_cipher_does_not_show_itself():
    assert repr(PersonCipher.create(RING, WANJIKU)[1]) == "[secret]"
