import hashlib
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise, product

import pytest

from lookup_core.domain.bst import ALGORITHMS, Algorithm, Token, format_token, mint, parse_token
from lookup_core.domain.errors import MalformedToken

HEX = "0123456789ABCDEF"
NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)
TOKENS = [
    Token(bytes(16)),
    Token(b"\xff" * 16),
    Token(bytes.fromhex("0123456789ABCDEFFEDCBA9876543210")),
    mint(b"salt" * 8, [b"phone", b"document"], NOON, b"n" * 16),
]


def digits_of(text):
    """The places of the 38 hex digits of a token's text: version, token, check digits."""
    return [i for i, c in enumerate(text) if i >= 4 and c != "-"]


def is_read(text):
    try:
        parse_token(text)
    except MalformedToken:
        return False
    return True


@pytest.mark.parametrize("token", TOKENS)
def test_a_token_is_read_as_it_was_written_in_any_case(token):
    text = format_token(token)
    assert text == text.upper()
    assert len(text) == 44
    assert parse_token(text) == parse_token(text.lower()) == parse_token(f" {text.title()}\n") == token


@pytest.mark.parametrize("token", TOKENS)
def test_every_one_of_the_570_single_character_errors_is_caught(token):
    text = format_token(token)
    wrong = [
        text[:place] + digit + text[place + 1 :]
        for place, digit in product(digits_of(text), HEX)
        if digit != text[place]
    ]
    assert len(wrong) == 570
    assert not [each for each in wrong if is_read(each)]


@pytest.mark.parametrize("token", TOKENS[2:])
def test_every_swap_of_two_neighbours_is_caught_on_real_tokens(token):
    text = format_token(token)
    places = digits_of(text)
    swaps = 0
    for first, second in pairwise(places):
        if text[first] == text[second]:
            continue
        swapped = list(text)
        swapped[first], swapped[second] = swapped[second], swapped[first]
        swaps += 1
        assert not is_read("".join(swapped))
    assert swaps > 25


def test_every_one_of_the_555_ways_that_a_swap_can_alter_a_token_is_caught():
    """The checksum is affine over XOR, so what it misses in one token it misses in all.

    A swap of the digits a and b changes both places by a ^ b: 15 differences at each of 37 pairs of neighbours.
    """
    text = format_token(TOKENS[0])
    places = digits_of(text)
    cases = 0
    for (first, second), difference in product(pairwise(places), range(1, 16)):
        altered = list(text)
        for place in (first, second):
            altered[place] = HEX[int(altered[place], 16) ^ difference]
        cases += 1
        assert not is_read("".join(altered))
    assert cases == 555


@pytest.mark.parametrize(
    "text",
    [
        "",
        "BST-02-",
        "BST-01-0123456789ABCDEFFEDCBA9876543210-0000",
        "BST-03-0123456789ABCDEFFEDCBA9876543210-0000",
        "BST-02-0123456789ABCDEFFEDCBA987654321-00000",
        "BST-02-0123456789ABCDEFFEDCBA987654321G-0000",
        "BST02" + "0" * 36,
        "B\u017fT-02-0123456789ABCDEFFEDCBA9876543210-0000",
        "0" * 10_000_000,
        format_token(TOKENS[2]) + "0",
        format_token(TOKENS[2]).replace("0", "O"),
    ],
)
def test_what_is_not_a_token_is_refused(text):
    with pytest.raises(MalformedToken) as refused:
        parse_token(text)
    assert refused.value.field == "bst"


def test_a_minted_token_depends_on_every_part():
    def token(salt=b"s" * 32, fields=(b"a", b"b"), at=NOON, nonce=b"n" * 16):
        return mint(salt, fields, at, nonce)

    variants = [
        token(),
        token(salt=b"S" * 32),
        token(fields=(b"ab", b"")),
        token(fields=(b"a", b"b", b"")),
        token(at=NOON + timedelta(microseconds=1)),
        token(nonce=b"N" * 16),
    ]
    assert len(set(variants)) == len(variants)
    assert all(len(each.raw) == 16 for each in variants)


def test_the_same_instant_in_another_zone_is_the_same_time():
    there = NOON.astimezone(timezone(timedelta(hours=3)))
    assert mint(b"s", [], NOON, b"n" * 16) == mint(b"s", [], there, b"n" * 16)


def test_a_short_nonce_is_refused():
    with pytest.raises(ValueError, match="16 bytes"):
        mint(b"s", [], NOON, b"n")


@pytest.fixture
def version_9(monkeypatch):
    """A version that is added in this test alone: one entry of the registry."""

    def blake(salt, fields, at, nonce):
        return hashlib.blake2b(b"".join([*fields, nonce]), key=salt, digest_size=16).digest()

    monkeypatch.setitem(ALGORITHMS, 9, Algorithm(9, mint=blake))
    return 9


def test_a_version_that_is_added_is_minted_and_read_beside_the_earlier_one(version_9):
    new = mint(b"salt" * 8, [b"phone"], NOON, b"n" * 16, version=version_9)
    old = mint(b"salt" * 8, [b"phone"], NOON, b"n" * 16)
    assert format_token(new).startswith("BST-09-")
    assert [parse_token(format_token(each).lower()) for each in (new, old)] == [new, old]


def test_the_bytes_of_one_version_are_no_token_of_another(version_9):
    old = TOKENS[2]
    relabelled = format_token(old).replace("BST-02-", "BST-09-")
    with pytest.raises(MalformedToken):  # the version is under the check digits
        parse_token(relabelled)
    assert Token(old.raw, version_9) != old


def test_a_version_that_is_kept_nowhere_is_not_minted_from_a_nonce(monkeypatch):
    monkeypatch.setitem(ALGORITHMS, 9, Algorithm(9, mint=None))
    with pytest.raises(ValueError, match="not minted"):
        mint(b"s", [], NOON, b"n" * 16, version=9)
