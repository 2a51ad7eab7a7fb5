"""What the index holds after changes: one person by each of their keys, and nothing of them lost in between."""

from __future__ import annotations

from uuid import uuid4

from lookup_core.domain.ids import BlindIndex, PersonNo, Revision
from lookup_core.replica.index import Index, Person
from nser.feed.v1 import feed_pb2

PHONE, OTHER_PHONE, DOCUMENT = (BlindIndex(letter * 16) for letter in (b"p", b"q", b"d"))
TOKEN, OLD_TOKEN = b"t" * 16, b"o" * 16
ONE, OTHER = uuid4().bytes, uuid4().bytes


def person(number: int = 1, **stated: object) -> feed_pb2.Statement:
    return feed_pb2.Statement(person=feed_pb2.PersonStated(person_no=number, **stated))  # type: ignore[arg-type]


def exclusion(exclusion_id: bytes, *, excludes: bool = True, number: int = 1) -> feed_pb2.Statement:
    stated = feed_pb2.ExclusionStated(exclusion_id=exclusion_id, person_no=number, excludes=excludes)
    return feed_pb2.Statement(exclusion=stated)


def index_after(*statements: feed_pb2.Statement) -> Index:
    """An index to which each statement was applied as a revision of its own."""
    index = Index()
    for revision, statement in enumerate(statements, 1):
        index.apply(Revision(revision), feed_pb2.Change(statements=[statement]))
    return index


def numbers(people: tuple[Person, ...]) -> set[int]:
    return {each.person_no for each in people}


def test_a_person_is_found_by_each_of_their_keys() -> None:
    index = index_after(
        person(phones=[PHONE, OTHER_PHONE], documents=[DOCUMENT], token=TOKEN), exclusion(ONE)
    )
    found = {
        *index.people_by_phone(PHONE),
        *index.people_by_phone(OTHER_PHONE),
        *index.people_by_document(DOCUMENT),
    }
    assert found == {index.person_by_token(TOKEN)}
    assert next(iter(found)).is_excluded
    assert (len(index), index.counts.excluded, index.revision) == (1, 1, 2)


def test_a_person_stays_excluded_until_their_last_exclusion_leaves() -> None:
    twice = (person(phones=[PHONE]), exclusion(ONE), exclusion(OTHER), exclusion(ONE, excludes=False))
    assert index_after(*twice).people_by_phone(PHONE)[0].is_excluded
    none_left = index_after(*twice, exclusion(OTHER, excludes=False))
    assert not none_left.people_by_phone(PHONE)[0].is_excluded
    assert none_left.counts.excluded == 0


def test_an_exclusion_stated_twice_counts_once() -> None:
    index = index_after(
        person(phones=[PHONE]), exclusion(ONE), exclusion(ONE), exclusion(ONE, excludes=False)
    )
    assert index.counts.excluded == 0


def test_stating_a_person_again_keeps_their_exclusions() -> None:
    index = index_after(
        person(phones=[PHONE]), exclusion(ONE), person(phones=[OTHER_PHONE], documents=[DOCUMENT])
    )
    assert index.people_by_phone(PHONE) == ()
    assert index.people_by_phone(OTHER_PHONE)[0].is_excluded
    assert index.people_by_document(DOCUMENT)[0].is_excluded


def test_a_shared_phone_leads_to_everybody_who_has_it() -> None:
    index = index_after(person(1, phones=[PHONE]), person(2, phones=[PHONE]), exclusion(ONE, number=2))
    assert numbers(index.people_by_phone(PHONE)) == {1, 2}
    left = index_after(person(1, phones=[PHONE]), person(2, phones=[PHONE]), person(1))
    assert numbers(left.people_by_phone(PHONE)) == {2}


def test_a_rotated_token_still_leads_to_its_person() -> None:
    index = index_after(person(token=OLD_TOKEN), person(token=TOKEN, rotated_tokens=[OLD_TOKEN]))
    found = index.person_by_token(OLD_TOKEN)
    assert found is not None
    assert (found.token, found.rotated_tokens) == (TOKEN, (OLD_TOKEN,))


def test_a_loaded_index_is_as_one_that_followed() -> None:
    loaded = Index(revision=Revision(2))
    loaded.load([Person(PersonNo(1), (PHONE,), (DOCUMENT,), frozenset({ONE}), TOKEN)])
    followed = index_after(person(phones=[PHONE], documents=[DOCUMENT], token=TOKEN), exclusion(ONE))
    assert loaded.people_by_phone(PHONE) == followed.people_by_phone(PHONE)
    assert loaded.people_by_document(DOCUMENT) == followed.people_by_document(DOCUMENT)
    assert (len(loaded), loaded.counts.excluded) == (len(followed), followed.counts.excluded)


def test_a_revoked_key_is_there_and_not_active() -> None:
    def key(*, active: bool) -> feed_pb2.Statement:
        return feed_pb2.Statement(
            key=feed_pb2.KeyStated(key_id="k", mac=b"m", scopes=["nser:read"], active=active)
        )

    index = index_after(key(active=True), key(active=False))
    credential = index.credential("k")
    assert credential is not None
    assert not credential.active


def test_the_version_is_odd_while_a_change_is_under_way() -> None:
    index = Index()
    versions = [
        index.version
        for _ in index.applying(
            Revision(1), feed_pb2.Change(statements=[person(phones=[PHONE]), exclusion(ONE)])
        )
    ]
    assert versions
    assert all(version % 2 for version in versions)
    assert index.version % 2 == 0
