"""What a call, a batch and a message of a stream go through: who asks, may they, how many, how fresh, then the check.

Every path takes these steps in this order; none caches an answer. Transport is unknown here: refusals are raised, and
an item that alone is refused is answered INDETERMINATE.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from lookup_core.domain.blind import BlindKeys
from lookup_core.domain.outcome import Outcome, Purpose
from lookup_core.domain.scope import CHECK_PREVIOUS
from lookup_core.kernel.clock import Clock
from lookup_core.kernel.errors import CredentialsInvalid, Draining, Refused, RegisterStale
from lookup_core.replica.authentication import Authentication, Presented, check_permitted
from lookup_core.replica.budgets import Budget
from lookup_core.replica.check import Checker, Decision, Subject
from lookup_core.replica.consistency import Consistency
from lookup_core.replica.index import Credential
from lookup_core.replica.lookup_log import Asking, LookupLog
from lookup_core.replica.metrics import Metrics
from lookup_core.replica.quota import Quota
from lookup_core.replica.rpc.translate import answer_from, refused_item
from lookup_core.replica.subjects import asked_of, check_size, freshness_from, purpose_from, subject_from
from nser.lookup.v1 import lookup_pb2

CHUNK: Final = 250
"""Items of a batch that are checked in one go: a few milliseconds, then polls and other calls have their turn."""


@dataclass(frozen=True, slots=True)
class Call:
    """Who calls. `remaining_s` gives what is left of the deadline, None without one."""

    presented: Presented
    correlation_id: str
    remaining_s: Callable[[], float | None]


@dataclass(frozen=True, slots=True)
class Lookups:
    """The read side's use cases."""

    authentication: Authentication
    consistency: Consistency
    quota: Quota
    checker: Checker
    blind_keys: BlindKeys
    lookup_log: LookupLog | None
    metrics: Metrics
    clock: Clock

    async def check(self, call: Call, request: lookup_pb2.CheckRequest) -> lookup_pb2.CheckResponse:
        """Answer about one person. Raises Refused."""
        credential = self.authentication.admit(call.presented)
        asked, purpose, fresh = asked_of(request), purpose_from(request.purpose), freshness_from(request)
        check_permitted(credential, purpose)
        await self.quota.take(credential, Budget.REQUESTS)
        subject = subject_from(self.blind_keys, asked)
        if not fresh.is_default:
            await self.consistency.reach(fresh, call.remaining_s())
            credential = self.authentication.admit(call.presented)  # it may have been revoked meanwhile
        return lookup_pb2.CheckResponse(answer=self._answer("Check", call, credential, purpose, subject))

    async def check_many(
        self, call: Call, request: lookup_pb2.BatchCheckRequest
    ) -> lookup_pb2.BatchCheckResponse:
        """Answer about each person in order, under one revision: the one taken before the first look-up.

        Raises Refused where the whole call is refused.
        """
        credential = self.authentication.admit(call.presented)
        size, purpose, fresh = check_size(request), purpose_from(request.purpose), freshness_from(request)
        check_permitted(credential, purpose)
        allowed, refusal = size, None
        if request.charge_as_requests:
            allowed, refusal = await self.quota.take_some(credential, Budget.REQUESTS, size)
        else:
            await self.quota.take_all(credential, Budget.PEOPLE, size)
        if not fresh.is_default:
            await self.consistency.reach(fresh, call.remaining_s())
            credential = self.authentication.admit(call.presented)
        batch = _Batch(self, request, CHECK_PREVIOUS in credential.scopes)
        for start in range(0, allowed, CHUNK):
            if start:
                await asyncio.sleep(0)  # a lease that is renewed meanwhile serves the next chunk
            batch.check(start, min(start + CHUNK, allowed))
        if refusal is not None:
            batch.refuse(size - allowed, refusal)
        self._note(call, credential, purpose, batch.decisions)
        batch.count()
        return batch.response

    def check_at_once(self, call: Call, request: lookup_pb2.StreamCheckRequest) -> lookup_pb2.Answer | None:
        """Answer one message of a stream, or None when it has to wait: for a revision or for its budget.

        Raises only what ends the stream: CredentialsInvalid, Draining.
        """
        try:
            credential = self.authentication.admit(call.presented)
            asked, purpose, fresh = asked_of(request), purpose_from(request.purpose), freshness_from(request)
            check_permitted(credential, purpose)
            if not fresh.is_default or not self.quota.spend(credential, Budget.PEOPLE):
                return None
            return self._answer(
                "StreamCheck", call, credential, purpose, subject_from(self.blind_keys, asked)
            )
        except Refused as refused:
            return self._refused_message(refused)

    async def check_later(self, call: Call, request: lookup_pb2.StreamCheckRequest) -> lookup_pb2.Answer:
        """Answer a message that `check_at_once` could not. Raises as that does."""
        try:
            credential = self.authentication.admit(call.presented)
            asked, purpose, fresh = asked_of(request), purpose_from(request.purpose), freshness_from(request)
            check_permitted(credential, purpose)
            await self.quota.take(credential, Budget.PEOPLE)
            subject = subject_from(self.blind_keys, asked)
            # The stream's deadline is not this message's: the wait has a bound of its own.
            await self.consistency.reach(fresh, None)
            credential = self.authentication.admit(call.presented)
            return self._answer("StreamCheck", call, credential, purpose, subject)
        except Refused as refused:
            return self._refused_message(refused)

    # -- inside

    def _answer(
        self, rpc: str, call: Call, credential: Credential, purpose: Purpose, subject: Subject
    ) -> lookup_pb2.Answer:
        revision = self.consistency.token()
        decision = self.checker.check(subject)
        self._note(call, credential, purpose, [decision])
        self.metrics.answered_many(rpc, decision.outcome, 1)
        return answer_from(decision, revision, tells_previous=CHECK_PREVIOUS in credential.scopes)

    def _refused_message(self, refused: Refused) -> lookup_pb2.Answer:
        if isinstance(refused, CredentialsInvalid | Draining):
            raise refused
        self.metrics.answered_many("StreamCheck", Outcome.INDETERMINATE, 1)
        # Without a lease nobody is authenticated, so nothing is looked up for them (SAFETY.md 19).
        return refused_item(refused, "" if isinstance(refused, RegisterStale) else self.consistency.token())

    def _note(self, call: Call, credential: Credential, purpose: Purpose, decisions: list[Decision]) -> None:
        if self.lookup_log is not None and decisions:
            asking = Asking(
                self.clock.now(), credential.operator_id, credential.key_id, purpose, call.correlation_id
            )
            self.lookup_log.note(asking, decisions)


class _Batch:
    """The answers of one batch in the making."""

    def __init__(self, lookups: Lookups, request: lookup_pb2.BatchCheckRequest, tells_previous: bool) -> None:
        self.decisions: list[Decision] = []
        revision = lookups.consistency.token()  # before the first look-up (SAFETY.md 21)
        self.response = lookup_pb2.BatchCheckResponse(revision=revision)
        self._lookups = lookups
        self._subjects = request.subjects
        self._tells_previous = tells_previous
        # What most answers are; copied instead of made anew.
        self._clear = lookup_pb2.Answer(outcome=lookup_pb2.OUTCOME_NOT_EXCLUDED, revision=revision)

    def check(self, start: int, end: int) -> None:
        """Answer the items from `start` up to `end`."""
        keys, check, revision = self._lookups.blind_keys, self._lookups.checker.check, self.response.revision
        add, keep = self.response.answers.append, self.decisions.append
        for asked in self._subjects[start:end]:
            try:
                subject = subject_from(keys, asked)
            except Refused as refused:
                add(refused_item(refused, revision))
                continue
            decision = check(subject)
            keep(decision)
            if decision.person is None and decision.outcome is Outcome.NOT_EXCLUDED:
                add(self._clear)
            else:
                add(answer_from(decision, revision, tells_previous=self._tells_previous))

    def refuse(self, count: int, refusal: Refused) -> None:
        """Answer the last `count` items with a refusal of their own."""
        self.response.answers.extend([refused_item(refusal, self.response.revision)] * count)

    def count(self) -> None:
        """Count the outcomes."""
        outcomes = Counter(decision.outcome for decision in self.decisions)
        outcomes[Outcome.INDETERMINATE] += len(self.response.answers) - len(self.decisions)
        for outcome, count in outcomes.items():
            if count:
                self._lookups.metrics.answered_many("BatchCheck", outcome, count)
