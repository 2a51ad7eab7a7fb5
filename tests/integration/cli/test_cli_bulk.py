"""Bulk loading, and what a run sets up in a database: as good as a registration to those who read it."""

from datetime import UTC, datetime

import pytest

from lookup_core._dataplane import Lease
from lookup_core.cli.database import connected
from lookup_core.cli.demo.people import person
from lookup_core.cli.exits import CommandFailed
from lookup_core.cli.running.keys import ADMIN_SCOPES
from lookup_core.cli.running.store import FirstKey, prepare
from lookup_core.cli.seeding import enter_in_bulk
from lookup_core.domain import chain
from lookup_core.domain.blind import blind_document, blind_phone
from lookup_core.domain.document import DocumentType, parse_document
from lookup_core.domain.ids import PersonNo, StoreId
from lookup_core.domain.outcome import Outcome
from lookup_core.domain.phone import parse_phone
from lookup_core.kernel import apikey
from lookup_core.kernel.clock import boottime_ns
from lookup_core.kernel.envelope import PersonCipher, WrappedKey
from lookup_core.kernel.keyring import KeyRing
from lookup_core.replica.postgres_feed import PostgresFeed
from nser.feed.v1 import feed_pb2

pytestmark = pytest.mark.services
RING = KeyRing.create()
SEED, SHARE = 11, 0.3


@pytest.fixture
async def connection(database):
    async with connected(database.owner_url) as opened:
        await prepare_again(database)
        yield opened


async def prepare_again(database, ring=RING, keys=()):
    """What every start of a run does. The session's servers share their roles: their passwords stay."""
    return await prepare(database.owner_url, ring, keys, lambda _role: database.role_password)


async def entered(connection, count, **chosen):
    steps = [
        step
        async for step in enter_in_bulk(
            (connection,), RING, count, **{"seed": SEED, "excluded_share": SHARE} | chosen
        )
    ]
    return (
        sum(step.people for step in steps),
        sum(step.excluded for step in steps),
        sum(step.known for step in steps),
    )


async def snapshot(database):
    feed = PostgresFeed(database.replica_url, keys=RING.blind, notify=False)
    try:
        return await feed.load()
    finally:
        await feed.close()


def live_lease() -> Lease:
    lease = Lease()
    lease.arm(boottime_ns())
    return lease


async def test_people_are_in_the_index_of_a_replica(connection, database):
    people, excluded, _ = await entered(connection, 300)
    index = (await snapshot(database)).index
    assert (index.people, index.excluded) == (people, excluded) == (300, excluded)
    lease = live_lease()
    for number in range(300):
        made = person(number, seed=SEED, excluded_share=SHARE)
        outcome = Outcome.EXCLUDED if made.period is not None else Outcome.NOT_EXCLUDED
        found = index.check(lease, phone=blind_phone(RING.blind, parse_phone(made.phone)))
        document = blind_document(RING.blind, parse_document(DocumentType.NATIONAL_ID, made.national_id))
        by_document, by_token = index.check(lease, document=document), index.check(lease, token=found.token)
        assert found.outcome == by_document.outcome == by_token.outcome == outcome
        assert found.token == by_document.token == by_token.token is not None


async def test_revisions_are_dense_chained_and_state_one_exclusion_each(connection, database):
    _, excluded, _ = await entered(connection, 2_500)
    head = await connection.fetchrow("SELECT * FROM register.head")
    digest = chain.genesis(RING.feed, StoreId(head["store_id"]))
    exclusions = 0
    for expected, row in enumerate(
        await connection.fetch("SELECT * FROM register.change WHERE revision > 0 ORDER BY revision"), 1
    ):
        digest = chain.extended(RING.feed, digest, row["revision"], row["statements"])
        assert (row["revision"], row["digest"]) == (expected, digest)
        stated = [
            each.WhichOneof("about") for each in feed_pb2.Change.FromString(row["statements"]).statements
        ]
        assert stated.count("exclusion") <= 1
        exclusions += stated.count("exclusion")
    assert (head["revision"], head["digest"]) == (expected, digest)
    assert exclusions == excluded
    dated = await connection.fetchval(
        "SELECT count(DISTINCT revision) FROM register.exclusion WHERE revision > 0"
    )
    assert dated == excluded


async def test_the_index_by_changes_is_the_index_by_snapshot(connection, database):
    before = (await snapshot(database)).index
    await entered(connection, 400)
    for row in await connection.fetch(
        "SELECT revision, statements FROM register.change WHERE revision > 0 ORDER BY revision"
    ):
        before.apply(row["revision"], row["statements"])
    after = (await snapshot(database)).index
    assert (before.people, before.excluded) == (after.people, after.excluded)
    lease = live_lease()
    for number in range(400):
        blind = blind_phone(RING.blind, parse_phone(person(number, seed=SEED).phone))
        one, other = (index.check(lease, phone=blind) for index in (before, after))
        assert (one.outcome, one.basis, one.token) == (other.outcome, other.basis, other.token)


async def test_personal_data_is_encrypted_and_only_that_of_excluded_people_is_there(connection):
    _, excluded, _ = await entered(connection, 200)
    rows = await connection.fetch("SELECT * FROM register.person_pii")
    assert len(rows) == excluded
    for row in rows:
        number = PersonNo(row["person_no"])
        cipher = PersonCipher.open(RING, WrappedKey(row["kek_id"], row["wrapped_key"]), number)
        assert cipher.decrypt("phone", row["phone"], row["version"]).startswith("+2547")
        assert cipher.decrypt("last_name", row["last_name"], row["version"])


async def test_people_who_are_known_are_passed_over(connection):
    assert (await entered(connection, 50))[0] == 50
    head = await connection.fetchval("SELECT revision FROM register.head")
    assert await entered(connection, 50) == (0, 0, 50)
    assert await connection.fetchval("SELECT revision FROM register.head") == head


async def test_a_load_is_audited_without_naming_anybody(connection):
    await entered(connection, 20)
    (line,) = await connection.fetch(
        "SELECT * FROM register.audit_entry WHERE action = 'register.bulk_loaded'"
    )
    assert line["reason"].startswith("20 people")
    assert line["revision"] == await connection.fetchval("SELECT revision FROM register.head")


async def test_preparing_again_changes_nothing(connection, database):
    keys = [FirstKey(apikey.issue("test").secret, "GRAK", ADMIN_SCOPES, 10, 10)]
    await prepare_again(database, keys=keys)
    before = await connection.fetchrow("SELECT * FROM register.head")
    await prepare_again(database, keys=keys)
    assert await connection.fetchrow("SELECT * FROM register.head") == before
    assert before["revision"] == 1


async def test_a_first_key_is_known_to_replicas_that_run_and_that_start(connection, database):
    running = (await snapshot(database)).index
    text = apikey.issue("test").secret
    await prepare_again(database, keys=[FirstKey(text, "GRAK", ADMIN_SCOPES, 10, 10)])
    change = await connection.fetchval("SELECT statements FROM register.change WHERE revision = 1")
    running.apply(1, change)
    (stated,) = (each.key for each in feed_pb2.Change.FromString(change).statements)
    loaded = await connection.fetchrow("SELECT key_id, mac, scopes, active FROM register.feed_key")
    for held in (stated, loaded):
        key_id, mac, scopes, active = (
            (held.key_id, held.mac, held.scopes, held.active) if held is stated else tuple(held)
        )
        assert key_id == apikey.parse(text)
        assert apikey.matches(mac, RING.pepper, text)
        assert (active, frozenset(scopes)) == (True, frozenset(ADMIN_SCOPES))


async def test_a_database_of_another_key_ring_is_refused(connection, database):
    await entered(connection, 5)
    with pytest.raises(CommandFailed, match="NSER_KEYRING_FILE"):
        await prepare_again(database, KeyRing.create())


async def test_exclusions_begin_now_and_bind_every_operator(connection, database):
    await prepare_again(
        database, keys=[FirstKey(apikey.issue("test").secret, "Betting Ltd", ("nser:read",), 1, 1)]
    )
    _, excluded, _ = await entered(connection, 60)
    began = datetime.now(UTC)
    rows = await connection.fetch("SELECT * FROM register.exclusion")
    assert (
        len(rows) == excluded == await connection.fetchval("SELECT count(*) FROM register.operator_exclusion")
    )
    assert all(0 <= (began - row["effective_at"]).total_seconds() < 60 for row in rows)
    assert excluded == await connection.fetchval("SELECT count(*) FROM register.exclusion_period")
