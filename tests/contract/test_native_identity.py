"""The native blind indexes are those of lookup_core.domain, byte for byte and refusal for refusal.

Seeded: a difference is found again by its number. Refusals are compared with their messages, so what is drawn is
printable, or not, in every version of Unicode.
"""

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from random import Random
from typing import Final

import pytest

from lookup_core import _dataplane
from lookup_core.domain.blind import BlindKeys, blind_document, blind_phone
from lookup_core.domain.document import DocumentType, parse_document, parse_document_type
from lookup_core.domain.errors import InvalidIdentity
from lookup_core.domain.phone import parse_phone

SEED: Final = 20261125
KEYS: Final = BlindKeys(1, bytes(range(32)), bytes(range(32, 64)))
NATIVE: Final = _dataplane.BlindKeys(KEYS.phone, KEYS.document)
BEFORE: Final = (
    "0",
    "0",
    "0",
    "254",
    "+254",
    "00254",
    "",
    "+254 0",
    "+254(0)",
    "2540",
    "00",
    "+",
    "+255",
    "+44",
    "000",
)
# Written out, not taken from what is tested: dashes, spaces and marks that phones and web pages give with a number.
NOISE: Final = [
    *" \t\n-.()/",
    "  ",
    *"\u00a0\u00ad\u2009\u200b\u200e\u2011\u2013\u202a\u202c\u202f\u2060\u2068\u2069\u3000\ufeff",
]
# Signs that may be in no identifier, that only look like one that may, or that one table of spaces has and another not.
STRANGE: Final = [
    *map(chr, (*range(0x100), *range(0x2000, 0x2070), *range(0xFE00, 0xFE10), *range(0xFF00, 0xFF60))),
    *"①٠ߖ०𝟎ﬁıſKА−﹣♥😀\u0301\u061c\u1680\u180e\u205f\ue000",
]
TEN_MEGABYTES: Final = [unit * (10_000_000 // len(unit)) for unit in ("7", " ", "0712345678", "\u202a", "０")]

Answer = bytes | tuple[str, str, str]


def digits(random: Random, length: int) -> str:
    return "".join(random.choices("0123456789", k=length))


def a_phone(random: Random) -> str:
    start = random.choice(("7", "7", "10", "11", "18", "12", "13", "14", "1", "20", "8", ""))
    length = 9 if random.random() < 0.9 else random.randrange(12)
    return random.choice(BEFORE) + start + digits(random, max(0, length - len(start)))


def a_document(random: Random) -> str:
    letters = random.choice(("", "", "", "0", "00", "A", "ak", "KDF", "a1"))
    return letters + digits(random, random.choice((4, 5, 6, 7, 8, 8, 8, 9, 10, 13, 14, 14, 15)))


def as_typed(random: Random, text: str) -> str:
    """The text with what people, address books and bad copies put into it."""
    if random.random() < 0.2:
        text = "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text)
    if random.random() < 0.5:
        text = "".join(random.choice(NOISE) + c if random.random() < 0.3 else c for c in text)
    if random.random() < 0.1:
        place = random.randrange(len(text) + 1)
        text = text[:place] + random.choice(STRANGE) + text[place + random.randrange(2) :]
    if random.random() < 0.01:
        text += random.choice(NOISE) * random.randrange(80)
    return text


def said(read: Callable[[], bytes]) -> Answer:
    """The index that is given, or the refusal."""
    try:
        return read()
    except InvalidIdentity as refused:
        return refused.reason, str(refused.field), refused.message
    except _dataplane.Refusal as refused:
        return refused.args


def of_document(kind: str, number: str) -> bytes:
    return blind_document(KEYS, parse_document(parse_document_type(kind), number))


def same_phone(text: str) -> Answer:
    ours, native = said(lambda: blind_phone(KEYS, parse_phone(text))), said(lambda: NATIVE.phone(text))
    assert native == ours, ascii(text[:100])
    return ours


def same_document(kind: str, number: str) -> Answer:
    ours, native = said(lambda: of_document(kind, number)), said(lambda: NATIVE.document(kind, number))
    assert native == ours, (kind[:100], ascii(number[:100]))
    return ours


@pytest.mark.parametrize("identities", [50_000, pytest.param(1_000_000, marks=pytest.mark.long)])
def test_the_native_index_of_any_identity_is_pythons(identities: int) -> None:
    random = Random(SEED)
    answers: Counter[str] = Counter()
    for _ in range(identities // 2):
        kind = random.choice([*DocumentType])
        if random.random() < 0.01:
            kind = as_typed(random, kind.upper())
        for name, answer in (
            ("phone", same_phone(as_typed(random, a_phone(random)))),
            (kind, same_document(kind, as_typed(random, a_document(random)))),
        ):
            answers[f"{name} {'read' if isinstance(answer, bytes) else 'refused'}"] += 1
    # Of every kind, enough are read and enough are refused for the comparison to say something.
    for name in ("phone", *DocumentType):
        assert min(answers[f"{name} read"], answers[f"{name} refused"]) > identities / 500, answers


@pytest.mark.parametrize("text", ["", " ", "\0", *TEN_MEGABYTES], ids=lambda text: ascii(text[:4]))
def test_nothing_and_ten_megabytes_are_refused_alike(text: str) -> None:
    assert same_phone(text)[0] == "INVALID_IDENTITY"
    for kind in DocumentType:
        assert same_document(kind, text)[0] == "INVALID_IDENTITY"
    if text:
        assert same_document(text, "12345678")[0] == "INVALID_IDENTITY"


def test_one_changed_bit_of_a_key_changes_every_index() -> None:
    """The comparison would notice: it is not between two empty answers."""
    other = _dataplane.BlindKeys(bytes([KEYS.phone[0] ^ 1]) + KEYS.phone[1:], KEYS.document)
    assert other.phone("0712345678") != NATIVE.phone("0712345678")
    assert other.document("passport", "A1234567") == NATIVE.document("passport", "A1234567")


@pytest.mark.parametrize("key", [b"", b"k" * 31, b"k" * 33])
def test_a_key_of_another_length_is_refused(key: bytes) -> None:
    with pytest.raises(ValueError, match="32"):
        _dataplane.BlindKeys(key, KEYS.document)


def test_native_keys_do_not_show_themselves() -> None:
    assert f"{NATIVE} {NATIVE!r}" == "[secret] [secret]"


def test_later_versions_are_equal_too() -> None:
    second = BlindKeys(2, b"P" * 32, b"D" * 32, before=KEYS)
    native = _dataplane.BlindKeys(KEYS.phone, KEYS.document)
    with pytest.raises(KeyError):
        native.phone("0712345678", version=2)
    native.add(second.phone, second.document)
    chance = Random(SEED)
    for _ in range(2_000):
        phone, number = f"07{chance.randrange(10**8):08}", f"{chance.randrange(1, 10**8):06}"
        with suppress(InvalidIdentity):
            assert native.phone(phone, version=2) == blind_phone(second, parse_phone(phone))
        document = parse_document(DocumentType.NATIONAL_ID, number)
        assert native.document("national_id", number, version=2) == blind_document(second, document)
