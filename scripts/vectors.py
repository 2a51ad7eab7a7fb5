"""Write tests/vectors/identity.json, which the native crate is held to, or say that it is not fresh (`--check`).

Every answer in it is given by lookup_core.domain and lookup_core.kernel.apikey; `cargo test` reads it. A line that
changes here for a text that was read before is a rotation of the blind indexes (SAFETY.md 22).
"""

import argparse
import json
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from itertools import product
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from phonenumbers import PhoneMetadata

from lookup_core.domain.blind import BlindKeys, blind_document, blind_phone, document_forms, phone_forms
from lookup_core.domain.bst import PAIRWISE, Token, format_token, parse_token
from lookup_core.domain.document import DocumentType, parse_document, parse_document_type
from lookup_core.domain.errors import Refused
from lookup_core.domain.ids import OperatorId, PersonNo, Revision, StoreId
from lookup_core.domain.pairwise import Holder
from lookup_core.domain.phone import parse_phone
from lookup_core.domain.revision import open_token, seal
from lookup_core.domain.text import DASHES, SPACES, UNSEEN
from lookup_core.kernel import apikey
from lookup_core.kernel.pairing import Pairing

ROOT: Final = Path(__file__).resolve().parent.parent
VECTORS: Final = ROOT / "tests" / "vectors" / "identity.json"

Text = str | dict[str, str | int]  # {"repeat": unit, "times": n} stands for one too long to write out
Case = dict[str, Any]

KEYS: Final = BlindKeys(1, bytes(range(32)), bytes(range(32, 64)))
_SECOND: Final = BlindKeys(2, bytes(range(128, 160)), bytes(range(160, 192)), before=KEYS)
CHAIN: Final = BlindKeys(3, bytes(range(192, 224)), bytes(range(224, 256)), before=_SECOND)
REVISION_KEY: Final = bytes(range(64, 96))
PEPPER: Final = bytes(range(96, 128))
PAIRING_KEYS: Final = (bytes(range(128, 160)), bytes(range(160, 192)))  # the one in use first
_STORE: Final = StoreId(UUID("018f3a5e-7c1b-7d4e-9a2b-0123456789ab"))
_TEN_MEGABYTES: Final[list[Text]] = [
    {"repeat": unit, "times": 10_000_000 // len(unit)}
    for unit in ("7", " ", "０", "-", "\u202a", "0712345678 ")
]
# Met at the edge of what is read, whatever is being read.
_AWKWARD: Final[list[Text]] = [
    "", " ", "\0", "\0" * 64, "-", "\ufeff", "\u202e", "é", "'\"\\", "e\u0301", "\u2603", "\U0001f600", "\ufffd",
    "1" * 32, "1" * 33, "1" * 64, "1" * 65, "１" * 64, "１" * 65, " " * 64, " " * 65, "x" * 31 + " y", *_TEN_MEGABYTES,
]  # fmt: skip
_BEFORE: Final = [
    "", "0", "254", "+254", "00254", "2540", "+2540", "002540", "+", "00", "000", "+00254", "+0", "0254", "+255",
    "254254",
]  # fmt: skip
_NATIONAL: Final = ["712345678", "110123456", "150123456", "71234567", "7123456789", "202345678"]
_FORMED: Final = [
    "0712-345-678", "+254 (0)712 345 678", "+254.712.345.678", "0712/345/678", "(0712) 345678", "0150123456",
]  # fmt: skip
_NO_PHONES: Final = [
    "٠٧١٢٣٤٥٦٧٨", "𝟎𝟕𝟏𝟐𝟑𝟒𝟓𝟔𝟕𝟖", "071234567⁸", "O712345678", "0712FLOWER", "tel:0712345678", "0712345678;ext=5", "999",
    "0712345678 ext 5", "0712345678, 0712345679", "+4915112345678", "+447911123456", "+1 202 555 0100",
]  # fmt: skip
_NUMBERS: Final = [
    "00000", "000000", "000000000", "00123456", "0123456", "000000001", "01234567890123", "00000000000000",
    " 12 345-678 ", "a1234567", "AK 0123456", "ak0123456", "kdf-0012", "KDF0012", "1A234567", "A1234B67",
]  # fmt: skip
_NO_NUMBERS: Final = [
    "ß1234567", "\u01311234567", "ﬁ12345", "１２３４５６７A", "١٢٣٤٥٦٧٨", "\u212a1234567", "\u0410123456", "12345６７²",
]  # fmt: skip
# All that Rust calls a character, to the end of the plane that holds every one that is read. Beyond it nothing is
# (tests/unit/domain/test_text.py), which the crate's test goes through all the same.
_CHARACTERS: Final = [chr(n) for n in range(0x10000) if not 0xD800 <= n < 0xE000]


def spelled(text: Text) -> str:
    """The text that a vector stands for."""
    return text if isinstance(text, str) else str(text["repeat"]) * int(text["times"])


def full_width(text: str) -> str:
    return "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text)


def phones() -> Iterator[Text]:
    yield from map("".join, product(_BEFORE, _NATIONAL))
    yield from (*_FORMED, *map(full_width, _FORMED), *(f"\u202a{each}\u202c\n" for each in _FORMED))
    yield from (f"07123{sign}45678" for sign in SPACES + UNSEEN + DASHES)
    yield from ("0712345678" + " " * 54, "0712345678" + " " * 55, *_NO_PHONES, *_AWKWARD)


def documents() -> Iterator[Text]:
    yield from ("123456789012345"[:length] for length in range(3, 16))
    yield from ("A" * length + "1" * digits for length, digits in product((0, 1, 2, 3), (4, 5, 8, 9)))
    yield from (*_NUMBERS, *map(full_width, _NUMBERS), *_NO_NUMBERS, *_AWKWARD)


def kinds() -> Iterator[Text]:
    for kind in DocumentType:
        yield from (
            kind,
            kind.upper(),
            f"\u00a0{kind.title()}\x1c",
            full_width(kind),
            f"{kind}\0",
            f"{kind}s",
        )
    yield from ("national id", "NATIONAL-ID", "\u200bpassport", "passport" + " " * 56, "passport" + " " * 57)
    yield from _AWKWARD


def tokens() -> Iterator[Text]:
    for raw in (bytes(16), b"\xff" * 16, bytes.fromhex("0123456789abcdeffedcba9876543210")):
        text = format_token(Token(raw))
        yield format_token(Token(raw, PAIRWISE))
        yield from (
            text,
            text.lower(),
            text.title(),
            text + " " * 20,
            text + " " * 21,
            text[1:],
            text[:-1],
            text + "0",
        )
        yield from (f" {text}\n", f"\x1c{text}\x1f", f"\u00a0{text}", f"{text}\0", full_width(text))
        yield from (
            text.replace(*each, 1)
            for each in (("0", "F"), ("02", "01"), ("02", "03"), ("0", "O"), ("ST", "\u017fT"))
        )
        yield from (
            text[:7] + text[8] + text[7] + text[9:],
            text[:7] + "+" + text[8:],
            text[:-4] + "+" + text[-3:],
        )
    yield from _AWKWARD


def revisions() -> Iterator[Text]:
    for revision in (0, 1, 255, 2**40, 2**63, 2**64 - 1):
        text = seal(REVISION_KEY, _STORE, Revision(revision))
        # The last character carries four bits that count and two that must be zero.
        second_spelling = text[:-1] + chr(ord(text[-1]) + 1)
        yield from (text, f"{text}==", f" {text}", text[:-1], text.swapcase(), second_spelling)
    yield seal(PEPPER, _STORE, Revision(1))
    yield from ("A" * 54, "=" * 54, "é" * 54, "é" * 27, "AA+/" + "A" * 50, "\n" * 54)
    yield from _AWKWARD


def api_keys() -> Iterator[Text]:
    for environment in ("demo", "live", "ab", "abcdefgh", "a", "abcdefghi", "Live", "", "li_e", "l1"):
        body = f"nser_{environment}_abcdefgh234567zz_{'a2b7' * 13}"
        text = f"{body}_{zlib.crc32(body.encode()):08x}"
        yield from (text, text.upper(), f"{text}\n", f" {text}", text[:-1], text.replace("a2b7", "a2b8", 1))
    secret = "a" * 52
    for body in (
        f"nser_demo_abcdefgh23456_{secret}",
        f"nser_demo_abcdefgh234561zz_{secret}",
        "nser_demo",
        "_",
        "é_",
    ):
        yield f"{body}_{zlib.crc32(body.encode()):08x}"
    yield from ("nser_live_a_b_c", "Bearer x", "n" * 128, "n" * 129, *_AWKWARD)


def echoes() -> Iterator[Text]:
    """All of ASCII and of Latin text, and what stands for the rest: marks, separators, private use, emoji."""
    yield from ("".join(map(chr, range(first, first + 24))) for first in range(0, 0x250, 24))
    yield from (
        f"<{c}>" for c in (*SPACES, *UNSEEN, "\u0301", "\u0600", "\ue000", "\U000f0000", "\uffff", "\u0378")
    )
    yield from _AWKWARD


def shown(text: str) -> dict[str, str]:
    return {"shown": Refused("{sent}", sent=text).message}


def index_of_phone(text: str) -> dict[str, str]:
    return {"index": blind_phone(KEYS, parse_phone(text)).hex()}


def index_of_document(kind: DocumentType, text: str) -> dict[str, str]:
    return {"kind": kind, "index": blind_document(KEYS, parse_document(kind, text)).hex()}


def read_token(text: str) -> dict[str, str]:
    token = parse_token(text)
    return {"token": token.raw.hex(), "version": str(token.version)}


def pairwise() -> Iterator[Case]:
    """Tokens of three operators under the key in use and the one before, and what each of the three makes of them."""
    by_newest, by_older = Pairing(PAIRING_KEYS), Pairing(PAIRING_KEYS[1:])
    operators = [OperatorId(UUID(int=number)) for number in (0, 1, 2**127 + 5)]
    holders = [
        Holder(PersonNo(number), generation)
        for number in (0, 1, 255, 2**28 - 1, 2**63, 2**64 - 1)
        for generation in (0, 1, 2**15 - 1, 2**16 - 1)
    ]
    for made_by, asks, holder in product(operators, operators, holders):
        for minting in (by_newest, by_older):
            token = minting.mint(made_by, holder)
            opened = by_newest.open(asks, token)
            said = {"opened": ""}
            if opened is not None:
                number, generation = opened.holder.person_no, opened.holder.generation
                said = {"opened": f"{number} {generation} {opened.is_by_newest_key}".lower()}
            yield {"text": format_token(token), "operator": asks.hex, **said}


def opened(text: str) -> dict[str, str]:
    store, revision = open_token(REVISION_KEY, text)
    # As text: JSON's numbers are not wide enough.
    return {"store": store.hex, "revision": str(revision)}


def read_key(text: str) -> dict[str, str]:
    return {"id": apikey.parse(text), "mac": apikey.mac(PEPPER, text).hex()}


def case(text: Text, read: Callable[[str], Mapping[str, str]]) -> Case:
    """What is said of one text."""
    try:
        return {"text": text, **read(spelled(text))}
    except Refused as refused:
        return {"text": text, "refused": [refused.reason, refused.field, refused.message]}


def document_cases() -> Iterator[Case]:
    for kind, text in product(DocumentType, documents()):

        def read(sent: str, kind: DocumentType = kind) -> dict[str, str]:
            return index_of_document(kind, sent)

        yield {"kind": kind, **case(text, read)}


def version_cases() -> Iterator[Case]:
    """Indexes under three versions of the keys, of which each wraps the one before (SAFETY.md 22)."""
    for text in ("0712345678", "+254 712 345 678", "0110123456", "0722000111"):
        yield {"kind": "phone", "text": text, "indexes": _hex(phone_forms(CHAIN, parse_phone(text)))}
    for kind, text in product(
        DocumentType, ("12345678", "00123456", "12345678901234", "AK 0123456", "KDF0012")
    ):
        with suppress(Refused):
            forms = document_forms(CHAIN, parse_document(kind, text))
            yield {"kind": kind, "text": text, "indexes": _hex(forms)}


def _hex(forms: tuple[bytes, ...]) -> list[str]:
    return [form.hex() for form in forms]


def mobile_prefixes() -> list[str]:
    """The first three of the nine digits after +254 that a mobile number begins with; any six may follow."""
    region = PhoneMetadata.metadata_for_region("KE")
    pattern = (
        region.mobile.national_number_pattern if region is not None and region.mobile is not None else None
    )
    if pattern is None or (found := re.fullmatch(r"(.*)\\d\{6\}", pattern)) is None:
        raise SystemExit(f"Kenya's mobile ranges are no longer three digits and any six: {pattern}")
    return [text for text in map("{:03d}".format, range(1000)) if re.fullmatch(found[1], text, re.ASCII)]


def signs_in_phones() -> list[str]:
    """Every character, as hex, that may stand in a phone and does not matter."""
    read = []
    for c in _CHARACTERS:
        with suppress(Refused):
            parse_phone(f"07123{c}45678")
            read.append(f"{ord(c):04x}")
    return read


def signs_in_documents() -> dict[str, str]:
    """Every character, as hex, that may stand in a military ID number, and what it counts as there."""
    read = {}
    for c in _CHARACTERS:
        with suppress(Refused):
            number = parse_document(DocumentType.MILITARY, f"KDF{c}12").number
            read[f"{ord(c):04x}"] = number.removeprefix("KDF").removesuffix("12")
    return read


def vectors() -> dict[str, Any]:
    """The whole file."""
    return {
        "keys": {
            "phone": KEYS.phone.hex(),
            "document": KEYS.document.hex(),
            "phone_2": _SECOND.phone.hex(),
            "document_2": _SECOND.document.hex(),
            "phone_3": CHAIN.phone.hex(),
            "document_3": CHAIN.document.hex(),
            "revision": REVISION_KEY.hex(),
            "pepper": PEPPER.hex(),
            "pairing": PAIRING_KEYS[0].hex(),
            "older_pairing": PAIRING_KEYS[1].hex(),
        },
        "mobile_prefixes": mobile_prefixes(),
        "signs_in_phones": signs_in_phones(),
        "signs_in_documents": signs_in_documents(),
        "phones": [case(text, index_of_phone) for text in phones()],
        "documents": list(document_cases()),
        "versions": list(version_cases()),
        "kinds": [case(text, lambda sent: {"kind": parse_document_type(sent)}) for text in kinds()],
        "tokens": [case(text, read_token) for text in tokens()],
        "pairwise": list(pairwise()),
        "revisions": [case(text, opened) for text in revisions()],
        "api_keys": [case(text, read_key) for text in api_keys()],
        "echoes": [case(text, shown) for text in echoes()],
    }


def fresh() -> str:
    """The file's text: one case a line, so that a change can be read."""
    sections = []
    for name, value in vectors().items():
        if isinstance(value, list) and isinstance(value[0], dict):
            lines = ",\n".join(map(json.dumps, value))
            sections.append(f'"{name}": [\n{lines}\n]')
        else:
            sections.append(f'"{name}": {json.dumps(value)}')
    return "{\n" + ",\n".join(sections) + "\n}\n"


def is_fresh() -> bool:
    return VECTORS.exists() and VECTORS.read_text(encoding="utf-8") == fresh()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; fail when the file is not fresh")
    if parser.parse_args().check:
        if not is_fresh():
            raise SystemExit(f"Not fresh: {VECTORS.name}. Run: python scripts/vectors.py")
        return
    VECTORS.parent.mkdir(exist_ok=True)
    VECTORS.write_text(fresh(), encoding="utf-8")


if __name__ == "__main__":
    main()
