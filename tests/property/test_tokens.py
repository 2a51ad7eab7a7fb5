"""Tokens, keys and sealed texts: what was written is read, and what was altered is not."""

from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from lookup_core.domain.bst import Token, check_digits, format_token, mint, parse_token
from lookup_core.domain.errors import InvalidRevisionToken, MalformedToken, Refused
from lookup_core.domain.ids import PersonNo, Revision, StoreId
from lookup_core.domain.revision import open_token, seal
from lookup_core.kernel.apikey import issue, parse
from lookup_core.kernel.envelope import EnvelopeBroken, PersonCipher
from lookup_core.kernel.keyring import KeyRing

HEX = "0123456789ABCDEF"
RING = KeyRing.create()
CIPHER = PersonCipher(b"k" * 32, PersonNo(1))

tokens = st.binary(min_size=16, max_size=16).map(Token)
keys = st.binary(min_size=32, max_size=32)


@given(tokens)
def test_a_token_survives_its_text(token):
    assert parse_token(format_token(token)) == token
    assert parse_token(format_token(token).lower()) == token


@given(tokens, st.integers(7, 43), st.sampled_from(HEX))
def test_a_wrong_character_in_any_token_is_caught(token, place, digit):
    text = format_token(token)
    assume(text[place] not in ("-", digit))
    with pytest.raises(MalformedToken):
        parse_token(text[:place] + digit + text[place + 1 :])


@given(tokens, st.integers(7, 41))
def test_a_swap_of_neighbours_in_any_token_is_caught(token, place):
    text = list(format_token(token))
    other = place + 2 if text[place + 1] == "-" else place + 1  # over the dash too
    assume("-" not in (text[place], text[other]) and text[place] != text[other])
    text[place], text[other] = text[other], text[place]
    with pytest.raises(MalformedToken):
        parse_token("".join(text))


@given(tokens, tokens, tokens)
def test_the_checksum_is_affine_which_makes_the_exhaustive_test_hold_for_all_tokens(a, b, c):
    mixed = Token(bytes(x ^ y ^ z for x, y, z in zip(a.raw, b.raw, c.raw, strict=True)))
    assert check_digits(mixed) == check_digits(a) ^ check_digits(b) ^ check_digits(c)


@given(st.text(max_size=100))
def test_any_text_is_a_token_a_key_or_refused(text):
    for read in (parse_token, parse, lambda t: open_token(b"k" * 32, t)):
        with pytest.raises(Refused) as refused:
            read(text)
        assert len(text) < 4 or text not in str(refused.value.args)


@given(st.lists(st.binary(max_size=8), max_size=4), st.lists(st.binary(max_size=8), max_size=4))
def test_no_two_lists_of_fields_are_minted_alike(one, other):
    at, nonce = datetime(2026, 1, 1, tzinfo=UTC), b"n" * 16
    assert (mint(b"s", one, at, nonce) == mint(b"s", other, at, nonce)) == (one == other)


@given(keys, st.uuids(), st.integers(0, 2**64 - 1))
def test_a_revision_survives_its_token(key, store, revision):
    assert open_token(key, seal(key, StoreId(store), Revision(revision))) == (store, revision)


@given(keys, keys, st.integers(0, 2**64 - 1))
def test_a_revision_token_opens_under_its_own_key_only(key, other, revision):
    assume(key != other)
    with pytest.raises(InvalidRevisionToken):
        open_token(other, seal(key, StoreId(UUID(int=1)), Revision(revision)))


@given(st.integers(0, 87), st.sampled_from("abcdefghijklmnopqrstuvwxyz234567_0189"))
def test_a_typing_slip_in_an_api_key_is_caught(place, character):
    text = issue("test").secret
    assume(place < len(text) and text[place] != character)
    with pytest.raises(Refused):
        parse(text[:place] + character + text[place + 1 :])


@given(st.text(), st.sampled_from(["phone", "email"]), st.integers(1, 2**31))
def test_a_field_is_read_in_its_place_and_nowhere_else(text, column, version):
    stored = CIPHER.encrypt(column, text, version)
    assert CIPHER.decrypt(column, stored, version) == text
    for elsewhere in (("document", version), (column, version - 1)):
        with pytest.raises(EnvelopeBroken):
            CIPHER.decrypt(elsewhere[0], stored, elsewhere[1])


@given(st.binary(max_size=80))
def test_stored_bytes_that_were_never_written_are_refused(stored):
    with pytest.raises(EnvelopeBroken):
        CIPHER.decrypt("phone", stored, 1)


def test_api_keys_never_depend_on_the_ring():
    assert RING.pepper not in issue("test").secret.encode()
