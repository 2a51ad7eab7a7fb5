from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookup_core.domain.bst import PAIRWISE, Token
from lookup_core.domain.ids import OperatorId, PersonNo
from lookup_core.domain.pairwise import Holder, of_block, to_block
from lookup_core.kernel.keyring import KEY_BYTES, Versions
from lookup_core.kernel.pairing import Opened, Pairing

NEWEST, OLDER = b"n" * KEY_BYTES, b"o" * KEY_BYTES
PAIRING, BEFORE = Pairing([NEWEST, OLDER]), Pairing([OLDER])
SIMBA, TWIGA = OperatorId(UUID(int=1)), OperatorId(UUID(int=2))
holders = st.builds(Holder, st.integers(0, 2**64 - 1).map(PersonNo), st.integers(0, 2**16 - 1))


@given(holders)
def test_a_token_opens_at_its_operator_and_is_noise_at_another(holder):
    token = PAIRING.mint(SIMBA, holder)
    assert PAIRING.open(SIMBA, token) == Opened(holder, is_by_newest_key=True)
    assert PAIRING.open(TWIGA, token) is None
    assert PAIRING.mint(TWIGA, holder) != token


@given(holders)
def test_a_token_of_the_key_before_still_opens_and_is_told_from_a_new_one(holder):
    token = BEFORE.mint(SIMBA, holder)
    assert PAIRING.open(SIMBA, token) == Opened(holder, is_by_newest_key=False)
    assert BEFORE.open(SIMBA, PAIRING.mint(SIMBA, holder)) is None


@given(st.binary(min_size=16, max_size=16))
def test_made_up_tokens_are_noise(raw):
    assert PAIRING.open(OperatorId(uuid4()), Token(raw, PAIRWISE)) is None


@given(holders, st.integers(0, 47))
def test_a_bit_beyond_the_generation_makes_a_block_noise(holder, bit):
    block = int.from_bytes(to_block(holder))
    assert of_block((block | 1 << bit).to_bytes(16)) is None
    assert of_block(to_block(holder)) == holder


@pytest.mark.parametrize("block", [b"", bytes(15), bytes(17)])
def test_what_is_no_block_is_noise(block):
    assert of_block(block) is None


@pytest.mark.parametrize("holder", [Holder(PersonNo(2**64)), Holder(PersonNo(1), 2**16)])
def test_numbers_that_do_not_fit_are_refused(holder):
    with pytest.raises(OverflowError):
        to_block(holder)


@pytest.mark.parametrize("roots", [[], [b"short"]])
def test_there_is_a_root_and_it_is_whole(roots):
    with pytest.raises(ValueError, match="root"):
        Pairing(roots)


def test_keys_come_the_one_in_use_first_and_then_the_newest():
    keys = {version: bytes([version]) * KEY_BYTES for version in (1, 2, 3, 4)}
    assert [key[0] for key in Versions(keys, 2).newest_first] == [2, 4, 3, 1]


def test_nothing_is_shown():
    assert repr(PAIRING) == "[secret]"
