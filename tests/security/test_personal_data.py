"""Where personal data is, and where it must not be: tables, views, feed, keys and logs after real registrations."""

from __future__ import annotations

import pytest

from lookup_core.kernel.keyring import VERSIONED
from nser.feed.v1 import feed_pb2
from nser.lookup.v1 import lookup_pb2
from tests.support.cluster import Cluster, Registered
from tests.support.people import Someone, someone

pytestmark = [pytest.mark.services, pytest.mark.xdist_group("security")]


@pytest.fixture(scope="module")
async def wanjiku(cluster: Cluster) -> tuple[Someone, Registered]:
    """Somebody who was registered and asked about in every way."""
    person = someone()
    registered = await cluster.register(person)
    for replica in cluster.replicas:
        for subject in (*person.subjects, lookup_pb2.Subject(bst=registered.exclusion.bst)):
            await cluster.check(person, at=replica, subject=subject)
    return person, registered


def clear_forms(person: Someone) -> list[str]:
    """How personal data would show in the text of a row: as it is, and as the hexadecimal of a bytea."""
    clear = [
        person.phone,
        f"254{person.phone[1:]}",
        person.document,
        person.date_of_birth,
        "Wanjiku",
        "Kamau",
    ]
    clear += [f"wanjiku.{person.document}@example.com"]
    return [*clear, *(text.encode().hex() for text in clear)]


async def relations(cluster: Cluster) -> list[str]:
    rows = await cluster.sql(
        "SELECT table_name FROM information_schema.tables WHERE table_schema = 'register' ORDER BY table_name"
    )
    return [row["table_name"] for row in rows]


async def test_no_table_and_no_view_holds_personal_data_in_clear(
    cluster: Cluster, wanjiku: tuple[Someone, Registered]
) -> None:
    person, _ = wanjiku
    searched = 0
    for name in await relations(cluster):
        for row in await cluster.sql(f'SELECT whole::text AS text FROM register."{name}" AS whole'):
            searched += 1
            assert [form for form in clear_forms(person) if form in row["text"]] == [], name
    assert searched > 20


async def test_the_same_words_are_encrypted_to_different_bytes(cluster: Cluster) -> None:
    one, other = someone(), someone()
    await cluster.register(one)
    await cluster.register(other)
    rows = await cluster.sql("SELECT first_name, wrapped_key FROM register.person_pii")
    assert len(rows) >= 2
    assert len({row["first_name"] for row in rows}) == len(rows)
    assert len({row["wrapped_key"] for row in rows}) == len(rows)


async def test_the_feed_holds_blind_indexes_ids_and_nothing_else(
    cluster: Cluster, wanjiku: tuple[Someone, Registered]
) -> None:
    person, _ = wanjiku
    for row in await cluster.sql("SELECT statements FROM register.change WHERE revision > 0"):
        change = feed_pb2.Change.FromString(row["statements"])
        for statement in change.statements:
            assert statement.WhichOneof("about") in ("person", "exclusion", "key")
            assert {len(blind) for blind in (*statement.person.phones, *statement.person.documents)} <= {16}
        for form in clear_forms(person):
            assert form.encode() not in row["statements"]


async def test_reports_have_no_column_that_names_anybody(cluster: Cluster) -> None:
    rows = await cluster.sql(
        "SELECT column_name FROM information_schema.columns WHERE table_schema = 'register' "
        "AND table_name = 'report_exclusion'"
    )
    assert {row["column_name"] for row in rows} == {
        *("exclusion_id", "period", "state", "effective_date", "expiry_date", "channel", "county"),
    }


async def test_an_api_key_is_stored_as_a_mac_alone(cluster: Cluster) -> None:
    for name in await relations(cluster):
        for row in await cluster.sql(f'SELECT whole::text AS text FROM register."{name}" AS whole'):
            for key in (cluster.admin, cluster.operator):
                assert key.text not in row["text"]
                assert key.text.split("_")[3] not in row["text"]


async def test_logs_hold_neither_personal_data_nor_blind_indexes_nor_keys(
    cluster: Cluster, wanjiku: tuple[Someone, Registered]
) -> None:
    person, registered = wanjiku
    blinds = [row["blind"].hex() for row in await cluster.sql("SELECT blind FROM register.identifier")]
    token = registered.exclusion.bst
    secret = [*clear_forms(person), token, token.split("-")[2].lower(), *blinds]
    secret += [cluster.admin.text, cluster.operator.text, cluster.database.role_password]
    for process in cluster.processes:
        said = process.output()
        assert "process.ready" in said
        assert [word for word in secret if word in said] == []


async def test_a_replica_is_given_no_key_that_decrypts_or_mints(cluster: Cluster) -> None:
    ring, given = cluster.ring, cluster.ring.replica_keys()
    held = {given.feed, given.revision, given.pepper, given.blind.phone, given.blind.document}
    versioned = {key for name in VERSIONED for key in getattr(ring, name).keys.values()}
    assert not held & {*ring.keks.values(), ring.request, *versioned}
