"""The index against a model too simple to be wrong: after any changes, loaded or followed, both say the same."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from lookup_core.domain.ids import BlindIndex, PersonNo, Revision
from lookup_core.domain.lease import Lease
from lookup_core.domain.outcome import Outcome
from lookup_core.replica.check import Checker, Subject
from lookup_core.replica.index import Index
from nser.feed.v1 import feed_pb2

KEYS = [BlindIndex(bytes([number]) * 16) for number in range(6)]
TOKENS = [bytes([100 + number]) * 16 for number in range(6)]
EXCLUSIONS = [bytes([200 + number]) * 16 for number in range(3)]
PEOPLE = range(1, 5)

some_keys = st.lists(st.sampled_from(KEYS), max_size=3, unique=True)


@st.composite
def statements(draw: st.DrawFn) -> feed_pb2.Statement:
    """One statement about one of a few people. A document is one person's; a phone may be shared."""
    number = draw(st.sampled_from(PEOPLE))
    if draw(st.booleans()):
        stated = feed_pb2.ExclusionStated(
            exclusion_id=draw(st.sampled_from(EXCLUSIONS)) + bytes([number]),
            person_no=number,
            excludes=draw(st.booleans()),
        )
        return feed_pb2.Statement(exclusion=stated)
    return feed_pb2.Statement(
        person=feed_pb2.PersonStated(
            person_no=number,
            phones=draw(some_keys),
            documents=[bytes(key[:15]) + bytes([number]) for key in draw(some_keys)],
            token=TOKENS[number] if draw(st.booleans()) else b"",
        )
    )


changes = st.lists(st.lists(statements(), min_size=1, max_size=4), max_size=25)


@dataclass
class Model:
    """People as rows, searched from end to end."""

    stated: dict[int, feed_pb2.PersonStated] = field(default_factory=dict)
    exclusions: set[tuple[int, bytes]] = field(default_factory=set)
    seen: set[int] = field(default_factory=set)

    def apply(self, change: list[feed_pb2.Statement]) -> None:
        for statement in change:
            if statement.HasField("person"):
                self.stated[statement.person.person_no] = statement.person
                self.seen.add(statement.person.person_no)
            else:
                one = (statement.exclusion.person_no, statement.exclusion.exclusion_id)
                self.seen.add(one[0])
                (self.exclusions.add if statement.exclusion.excludes else self.exclusions.discard)(one)

    def is_excluded(self, number: int) -> bool:
        return any(number == person_no for person_no, _ in self.exclusions)

    def by_phone(self, key: bytes) -> set[int]:
        return {number for number, person in self.stated.items() if key in person.phones}

    def by_document(self, key: bytes) -> set[int]:
        return {number for number, person in self.stated.items() if key in person.documents}


def followed(all_changes: list[list[feed_pb2.Statement]]) -> tuple[Index, Model]:
    index, model = Index(), Model()
    for revision, change in enumerate(all_changes, 1):
        index.apply(Revision(revision), feed_pb2.Change(statements=change))
        model.apply(change)
    return index, model


def all_documents() -> list[BlindIndex]:
    return [BlindIndex(bytes(key[:15]) + bytes([number])) for key in KEYS for number in PEOPLE]


@given(changes)
def test_the_index_says_what_the_model_says(all_changes: list[list[feed_pb2.Statement]]) -> None:
    index, model = followed(all_changes)
    for key in KEYS:
        assert {person.person_no for person in index.people_by_phone(key)} == model.by_phone(key)
    for key in all_documents():
        assert {person.person_no for person in index.people_by_document(key)} == model.by_document(key)
    for number in PEOPLE:
        held = index._people.get(PersonNo(number))
        assert (held is not None and held.is_excluded) == model.is_excluded(number)
    assert index.counts.people == len(model.seen)
    assert index.counts.excluded == sum(model.is_excluded(number) for number in PEOPLE)
    assert index.version % 2 == 0


@given(changes)
def test_nobody_excluded_is_cleared_by_any_key_of_theirs(all_changes: list[list[feed_pb2.Statement]]) -> None:
    index, model = followed(all_changes)
    lease = Lease()
    lease.arm(index.revision, sent_ns=0)
    checker = Checker(lambda: index, lease, lambda: 1)
    for number, person in model.stated.items():
        if not model.is_excluded(number):
            continue
        subjects = [Subject(phone=BlindIndex(key)) for key in person.phones]
        subjects += [Subject(document=BlindIndex(key)) for key in person.documents]
        subjects += [Subject(phone=BlindIndex(phone), document=all_documents()[0]) for phone in person.phones]
        subjects += [Subject(token=person.token)] if person.token else []
        for subject in subjects:
            assert checker.check(subject).outcome is Outcome.EXCLUDED


@given(changes)
def test_a_loaded_index_says_what_a_followed_one_says(all_changes: list[list[feed_pb2.Statement]]) -> None:
    index, _ = followed(all_changes)
    loaded = Index(revision=index.revision)
    loaded.load(index._people.values())
    assert loaded.counts == index.counts
    for key in KEYS:
        assert set(loaded.people_by_phone(key)) == set(index.people_by_phone(key))
    for key in all_documents():
        assert set(loaded.people_by_document(key)) == set(index.people_by_document(key))
