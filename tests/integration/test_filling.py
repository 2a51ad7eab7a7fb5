"""The benchmarks' quick way of filling a register leaves what a replica reads as the register's own would."""

import pytest

from benchmarks import filling
from lookup_core._dataplane import Index, Lease
from lookup_core.cli.database import connected
from lookup_core.cli.demo.people import person
from lookup_core.domain.blind import blind_document, blind_phone
from lookup_core.domain.document import DocumentType, parse_document
from lookup_core.domain.phone import parse_phone
from lookup_core.kernel.clock import boottime_ns
from lookup_core.kernel.keyring import KeyRing
from lookup_core.replica.postgres_feed import PostgresFeed
from tests.support.founding import found
from tests.support.services import Database

pytestmark = pytest.mark.services
PEOPLE = 300
RING = KeyRing.create()


@pytest.fixture
async def index(database: Database) -> Index:
    await found(database.owner_url, RING, [])
    await filling.fill(database.owner_url, RING, PEOPLE)
    feed = PostgresFeed(database.replica_url, keys=RING.blind, notify=False)
    try:
        snapshot = await feed.load()
    finally:
        await feed.close()
    return snapshot.index


def answers(index: Index, number: int) -> tuple[str, str, bool]:
    """By phone, by document, and whether a token is told."""
    lease = Lease()
    lease.arm(boottime_ns())
    one = person(number, seed=filling.SEED)
    document = parse_document(DocumentType.NATIONAL_ID, one.national_id)
    by_phone = index.check(lease, phone=blind_phone(RING.blind, parse_phone(one.phone)))
    by_document = index.check(lease, document=blind_document(RING.blind, document))
    assert by_phone.token == by_document.token
    return by_phone.outcome, by_document.outcome, by_phone.token is not None


async def test_everybody_is_found_and_excluded_by_the_rule_of_the_people(
    index: Index, database: Database
) -> None:
    assert index.people == PEOPLE
    expected = []
    for number in range(PEOPLE):
        one = person(number, seed=filling.SEED, excluded_share=filling.EXCLUDED_SHARE)
        outcome = "NOT_EXCLUDED" if one.period is None else "EXCLUDED"
        expected.append((outcome, outcome, True))
    assert [answers(index, number) for number in range(PEOPLE)] == expected
    assert index.excluded == sum(outcome == "EXCLUDED" for outcome, _, _ in expected) > 0


async def test_every_index_of_the_register_is_used_again(index: Index, database: Database) -> None:
    async with connected(database.owner_url) as connection:
        unready = await connection.fetch(
            "SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisready OR NOT indisvalid"
        )
    assert unready == []
