"""What holds across the steps of a call: one revision for a batch, a lease for each look-up, silence without one."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast
from uuid import uuid4

import pytest

from lookup_core.domain.blind import BlindKeys, blind_phone
from lookup_core.domain.chain import Digest
from lookup_core.domain.ids import PersonNo, Revision, StoreId
from lookup_core.domain.lease import LEASE_NS, Lease
from lookup_core.domain.phone import parse_phone
from lookup_core.domain.revision import open_token
from lookup_core.kernel import apikey
from lookup_core.kernel.clock import SystemClock
from lookup_core.kernel.errors import CredentialsInvalid
from lookup_core.replica.authentication import Authentication
from lookup_core.replica.check import Checker
from lookup_core.replica.consistency import Consistency
from lookup_core.replica.feed import Position
from lookup_core.replica.follower import Phase
from lookup_core.replica.index import Credential, Index
from lookup_core.replica.lookups import CHUNK, Call, Lookups
from lookup_core.replica.metrics import Metrics
from lookup_core.replica.quota import Quota
from nser.feed.v1 import feed_pb2
from nser.lookup.v1 import lookup_pb2
from tests.support.broken_around import TokenAfterLookUps

KEYS = BlindKeys(1, b"p" * 32, b"d" * 32)
PEPPER, REVISION_KEY, STORE = b"x" * 32, b"r" * 32, StoreId(uuid4())
KEY = apikey.issue("test")
EXCLUDED, CLEAR, UNSURE = (
    lookup_pb2.OUTCOME_EXCLUDED,
    lookup_pb2.OUTCOME_NOT_EXCLUDED,
    lookup_pb2.OUTCOME_INDETERMINATE,
)
WANJIKU = "0712345678"


class Desk:
    """Lookups over an index, with something that `happens` before each look-up."""

    def __init__(self, lookups: type[Lookups] = Lookups) -> None:
        self.index = Index()
        self.index.load_credentials(
            [
                Credential(
                    KEY.key_id,
                    apikey.mac(PEPPER, KEY.secret),
                    b"o" * 16,
                    frozenset({"nser:read"}),
                    10**6,
                    10**6,
                    True,
                )
            ]
        )
        self.now_ns = 1
        self.lease = Lease()
        self.lease.arm(Revision(0), sent_ns=0)
        self.follower = cast(Any, SimpleNamespace(phase=Phase.FOLLOWING, has_index=True, index=self.index))
        self.at(0)
        authentication = Authentication(self.follower, self.lease, lambda: self.now_ns, PEPPER)
        self.looked_up = 0
        self.lookups = lookups(
            authentication=authentication,
            consistency=Consistency(self.follower, REVISION_KEY),
            quota=Quota(None, lambda: 1),
            checker=Checker(self._current_index, self.lease, lambda: self.now_ns),
            blind_keys=KEYS,
            lookup_log=None,
            metrics=Metrics(),
            clock=SystemClock(),
        )
        self.call = Call(authentication.read(f"Bearer {KEY.secret}"), "correlation", lambda: None)

    def at(self, revision: int) -> None:
        self.follower.position = Position(STORE, Revision(revision), Digest(bytes(32)))

    def exclude(self, phone: str) -> None:
        revision = Revision(self.index.revision + 1)
        person = feed_pb2.PersonStated(person_no=PersonNo(1), phones=[blind_phone(KEYS, parse_phone(phone))])
        one = feed_pb2.ExclusionStated(exclusion_id=b"e" * 16, person_no=1, excludes=True)
        about = [feed_pb2.Statement(person=person), feed_pb2.Statement(exclusion=one)]
        self.index.apply(revision, feed_pb2.Change(statements=about))
        self.at(revision)

    def happens(self) -> None:
        """Before each look-up."""

    def _current_index(self) -> Index:
        self.looked_up += 1
        self.happens()
        return self.index


def batch(size: int) -> lookup_pb2.BatchCheckRequest:
    return lookup_pb2.BatchCheckRequest(subjects=[lookup_pb2.Subject(phone=WANJIKU)] * size)


def message(**more: Any) -> lookup_pb2.StreamCheckRequest:
    return lookup_pb2.StreamCheckRequest(subject=lookup_pb2.Subject(phone=WANJIKU), **more)


@pytest.mark.parametrize(
    ("lookups", "told"), [(Lookups, 0), pytest.param(TokenAfterLookUps, 1, marks=pytest.mark.breaks)]
)
async def test_a_batch_tells_the_revision_from_before_its_first_look_up(
    lookups: type[Lookups], told: int
) -> None:
    """SAFETY.md 21: what is registered meanwhile may be in the answers; the token does not claim it.

    At revision 1 the person is excluded, and half of the answers are clear: the token must not name it.
    """

    class Busy(Desk):
        def happens(self) -> None:
            if self.looked_up == CHUNK + 1:
                self.exclude(WANJIKU)

    desk = Busy(lookups)
    response = await desk.lookups.check_many(desk.call, batch(2 * CHUNK))
    assert [answer.outcome for answer in response.answers] == [CLEAR] * CHUNK + [EXCLUDED] * CHUNK
    assert open_token(REVISION_KEY, response.revision) == (STORE, told)


async def test_the_items_of_a_batch_that_a_lease_does_not_cover_are_indeterminate() -> None:
    class Slow(Desk):
        def happens(self) -> None:
            if self.looked_up == 4:
                self.now_ns = LEASE_NS

    desk = Slow()
    response = await desk.lookups.check_many(desk.call, batch(6))
    assert [answer.outcome for answer in response.answers] == [CLEAR] * 3 + [UNSURE] * 3
    assert response.answers[5].reason == lookup_pb2.INDETERMINATE_REASON_REGISTER_STALE


async def test_a_lease_that_is_renewed_meanwhile_covers_the_rest() -> None:
    class Renewed(Desk):
        def happens(self) -> None:
            if self.looked_up == 4:
                self.now_ns = LEASE_NS
                self.lease.arm(Revision(1), sent_ns=self.now_ns)

    desk = Renewed()
    response = await desk.lookups.check_many(desk.call, batch(6))
    # The fourth took its standing before the renewal (SAFETY.md 1).
    assert [answer.outcome for answer in response.answers] == [CLEAR] * 3 + [UNSURE] + [CLEAR] * 2


async def test_an_open_stream_tells_nothing_without_a_lease_and_goes_on_with_one() -> None:
    """SAFETY.md 19."""
    desk = Desk()
    desk.exclude(WANJIKU)
    desk.now_ns = LEASE_NS
    for answer in (
        desk.lookups.check_at_once(desk.call, message()),
        await desk.lookups.check_later(desk.call, message()),
    ):
        assert answer is not None
        assert (answer.outcome, answer.reason) == (UNSURE, lookup_pb2.INDETERMINATE_REASON_REGISTER_STALE)
    assert desk.looked_up == 0
    desk.lease.arm(Revision(1), sent_ns=desk.now_ns)
    desk.now_ns += 1
    answer = await desk.lookups.check_later(desk.call, message())
    assert answer.outcome == EXCLUDED


async def test_a_revoked_key_ends_a_stream() -> None:
    desk = Desk()
    desk.lookups.check_at_once(desk.call, message())
    desk.index.load_credentials([Credential(KEY.key_id, b"m" * 32, b"", frozenset(), 1, 1, active=False)])
    with pytest.raises(CredentialsInvalid):
        desk.lookups.check_at_once(desk.call, message())
    with pytest.raises(CredentialsInvalid):
        await desk.lookups.check_later(desk.call, message())


async def test_a_bad_message_is_answered_in_the_stream() -> None:
    desk = Desk()
    later = await desk.lookups.check_later(
        desk.call, message(consistency=lookup_pb2.Consistency(at_least="?"))
    )
    assert (later.outcome, later.error.field) == (UNSURE, "consistency.at_least")
    answer = desk.lookups.check_at_once(desk.call, message(purpose=lookup_pb2.PURPOSE_AGE))
    assert answer is not None
    assert answer.error.reason == "NOT_PERMITTED"
