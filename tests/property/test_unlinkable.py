"""Pairwise tokens of 100,000 people at three operators: nothing in them says that two mean one person.

The same looks find the link in every construction that has one (tests/support/linking.py), so that finding none says
something. All of it is seeded: a run is like every other.
"""

from collections.abc import Callable, Mapping
from hashlib import sha256
from uuid import UUID

import pytest

from lookup_core.domain.ids import OperatorId, PersonNo
from lookup_core.domain.pairwise import Holder, to_block
from lookup_core.kernel.pairing import Pairing
from tests.support.linking import Tokens, links

PEOPLE, FEWER = 100_000, 20_000
OPERATORS = {
    name: OperatorId(UUID(bytes=sha256(name.encode()).digest()[:16])) for name in ("Simba", "Twiga", "Kifaru")
}
ROOT = sha256(b"a root for the tests").digest()
Make = Callable[[OperatorId, int], bytes]


_PAIRING, _ONE = Pairing([ROOT]), OperatorId(UUID(int=0))


def _of_one_key(number: int) -> bytes:
    return _PAIRING.mint(_ONE, Holder(PersonNo(number))).raw


def _real() -> Make:
    return lambda operator, number: _PAIRING.mint(operator, Holder(PersonNo(number))).raw


def _xored(one: bytes, two: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, two, strict=True))


def _same_key() -> Make:
    return lambda _, number: _of_one_key(number)


def _masked_by_operator() -> Make:
    return lambda operator, number: _xored(_of_one_key(number), operator.bytes)


def _mask_without_cipher() -> Make:
    return lambda operator, number: _xored(to_block(Holder(PersonNo(number))), operator.bytes)


def _counter_in_front() -> Make:
    real = _real()
    return lambda operator, number: number.to_bytes(4, "big") + real(operator, number)[4:]


def _half_in_common() -> Make:
    real = _real()
    return lambda operator, number: real(operator, number)[:8] + _of_one_key(number)[:8]


def _two_bytes_moved() -> Make:
    """Two bytes of the person, at another place for each operator."""
    real = _real()

    def make(operator: OperatorId, number: int) -> bytes:
        at = operator.bytes[0] % 15
        token = real(operator, number)
        return token[:at] + _of_one_key(number)[:2] + token[at + 2 :]

    return make


def _one_bit_in_common() -> Make:
    real = _real()

    def make(operator: OperatorId, number: int) -> bytes:
        token = real(operator, number)
        return token[:-1] + bytes([token[-1] & 0xFE | _of_one_key(number)[0] & 1])

    return make


def _sorted_within_an_operator() -> Make:
    """Order kept, nothing else in common: a number scaled by what the operator's key says, in front of noise."""
    real = _real()

    def make(operator: OperatorId, number: int) -> bytes:
        scaled = number * (20_000 + operator.bytes[1])
        return scaled.to_bytes(5, "big") + real(operator, number)[5:]

    return make


def _minted(make: Make, people: int) -> Mapping[str, Tokens]:
    return {
        name: [make(operator, number) for number in range(1, people + 1)]
        for name, operator in OPERATORS.items()
    }


def test_nothing_in_the_tokens_of_three_operators_says_that_they_mean_one_person():
    assert links(_minted(_real(), PEOPLE)) == set()


@pytest.mark.parametrize(
    ("construction", "found"),
    [
        pytest.param(
            _same_key, {"shared substrings", "shared values", "same order", "related bits"}, id="one key"
        ),
        pytest.param(_masked_by_operator, {"related bits"}, id="xor with the operator"),
        pytest.param(
            _mask_without_cipher, {"unbalanced bits", "order of entry", "related bits"}, id="xor alone"
        ),
        pytest.param(
            _counter_in_front, {"shared values", "order of entry", "same order"}, id="a counter in front"
        ),
        pytest.param(
            _half_in_common, {"shared substrings", "shared values", "related bits"}, id="half in common"
        ),
        pytest.param(_two_bytes_moved, {"shared substrings", "related bits"}, id="two bytes in common"),
        pytest.param(_one_bit_in_common, {"related bits"}, id="one bit in common"),
        pytest.param(_sorted_within_an_operator, {"order of entry", "same order"}, id="order kept"),
    ],
)
def test_the_same_looks_find_the_link_in_a_construction_that_has_one(construction, found):
    assert found <= links(_minted(construction(), FEWER))
