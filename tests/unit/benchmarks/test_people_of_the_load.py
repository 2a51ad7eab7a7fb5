"""The native load generator asks for the people of `nser seed`: both languages are held to the same files."""

from pathlib import Path

import pytest

from benchmarks import loadgen
from lookup_core.cli.demo.people import person
from lookup_core.domain.blind import BlindKeys, blind_document, blind_phone
from lookup_core.domain.document import DocumentType, parse_document
from lookup_core.domain.phone import parse_phone

FOLDER = Path(loadgen.__file__).parent
KEYS = BlindKeys(1, bytes(range(32)), bytes(range(32, 64)))


def rows(name: str) -> list[list[str]]:
    lines = (FOLDER / name).read_text().splitlines()
    return [line.split("\t") for line in lines if not line.startswith("#")]


@pytest.mark.parametrize(("seed", "number", "phone", "national_id"), rows("people.tsv"))
def test_people_are_those_of_the_seed(seed: str, number: str, phone: str, national_id: str) -> None:
    one = person(int(number), seed=int(seed))
    assert (one.phone, one.national_id) == (phone, national_id)


@pytest.mark.parametrize(("phone", "blind", "national_id", "blind_id"), rows("blind.tsv"))
def test_blind_indexes_are_the_registers(phone: str, blind: str, national_id: str, blind_id: str) -> None:
    document = parse_document(DocumentType.NATIONAL_ID, national_id)
    assert blind_phone(KEYS, parse_phone(phone)).hex() == blind
    assert blind_document(KEYS, document).hex() == blind_id
