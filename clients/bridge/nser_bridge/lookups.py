"""The lookups: one person, one person by a path, many at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, get_args

import msgspec
from falcon.asgi import Request, Response

from nser_bridge import answers, reading
from nser_bridge.coalescer import Caller, Coalescer
from nser_bridge.metrics import Metrics
from nser_bridge.minting import Minter
from nser_bridge.shapes import Asked, BatchLookup, CheckType, Lookup
from nser_client import AsyncClient, BatchTooLarge, Decision, InvalidRequest, Subject
from nser_client.decision import denied
from nser_client.requests import LARGEST_BATCH

LONGEST_PHONE: Final = 64
_CHECK_TYPES: Final = get_args(CheckType)


class Lookups:
    """What the three resources share: coalescing, and the missing token."""

    def __init__(
        self, client: AsyncClient, metrics: Metrics, *, timeout_s: float, bst_timeout_s: float
    ) -> None:
        self.client = client
        self._metrics = metrics
        self._coalescer = Coalescer(self._send, timeout_s=timeout_s, departed=metrics.batch_people.observe)
        self._minter = Minter(
            self._generate,
            timeout_s=bst_timeout_s,
            counted=lambda result: metrics.minted.labels(result).inc(),
        )

    async def look_up(self, api_key: str, purpose: str, subject: Subject) -> bytes:
        """Return the answer about one person, with a BST if one can be had. Raises NserError."""
        decision = await self._coalescer.look_up(Caller(api_key, purpose), subject)
        if decision.error is not None:
            raise decision.error
        self.count(decision)
        bst = decision.bst
        if bst is None and subject.bst is None:
            bst = await self._minter.token_for(api_key, subject)
        return msgspec.json.encode(answers.lookup(decision, bst))

    def count(self, decision: Decision) -> None:
        """Note an outcome."""
        self._metrics.outcomes.labels(decision.outcome).inc()

    async def _send(self, caller: Caller, subjects: Sequence[Subject]) -> Sequence[Decision]:
        speaker = self.client.on_behalf_of(caller.api_key)
        return await speaker.check_many(subjects, purpose=caller.purpose, charge_as_requests=True)

    async def _generate(self, api_key: str, subject: Subject) -> str | None:
        generated = await self.client.on_behalf_of(api_key).generate_bst(
            phone=subject.phone, id_number=subject.id_number, id_type=subject.id_type
        )
        return generated.bst or None


def subject_of(asked: Asked | Lookup) -> Subject:
    """Return who is asked about. Raises InvalidRequest where nobody, or somebody twice, is named."""
    if asked.bst is not None:
        if asked.phone is not None or asked.id_number is not None or asked.id_type is not None:
            raise InvalidRequest("bst stands alone: leave phone, id_number and id_type out.", field="bst")
    elif asked.phone is None and asked.id_number is None:
        raise InvalidRequest("Nobody is named: give phone, id_number, both, or bst.", field="phone")
    elif asked.id_number is None and asked.id_type is not None:
        raise InvalidRequest("id_type needs an id_number beside it.", field="id_number")
    return Subject(phone=asked.phone, id_number=asked.id_number, id_type=asked.id_type, bst=asked.bst)


class OperatorLookup:
    """POST /api/v1/operators/lookup."""

    def __init__(self, lookups: Lookups) -> None:
        self._lookups = lookups

    async def on_post(self, request: Request, response: Response) -> None:
        api_key = reading.api_key(request)
        asked = await reading.body(request, Lookup)
        response.data = await self._lookups.look_up(api_key, asked.check_type, subject_of(asked))


class PhoneLookup:
    """GET /api/v1/nser/lookup/{phone}. The phone reaches no log, and no problem's text but the caller's own."""

    def __init__(self, lookups: Lookups) -> None:
        self._lookups = lookups

    async def on_get(self, request: Request, response: Response, phone: str) -> None:
        api_key = reading.api_key(request)
        purpose = reading.query(request, ("check_type",)).get("check_type", "exclusion")
        if purpose not in _CHECK_TYPES:
            raise InvalidRequest(f"check_type takes one of: {', '.join(_CHECK_TYPES)}.", field="check_type")
        if len(phone) > LONGEST_PHONE:
            raise InvalidRequest(f"phone is longer than {LONGEST_PHONE} characters.", field="phone")
        response.data = await self._lookups.look_up(api_key, purpose, Subject(phone=phone))


class BatchLookups:
    """POST /api/v1/operators/batch/lookup."""

    def __init__(self, lookups: Lookups) -> None:
        self._lookups = lookups

    async def on_post(self, request: Request, response: Response) -> None:
        api_key = reading.api_key(request)
        batch = await reading.body(request, BatchLookup, limit=reading.BATCH_BYTES)
        if not batch.users:
            raise InvalidRequest("users is empty. Nobody was checked.", field="users")
        if len(batch.users) > LARGEST_BATCH:
            raise BatchTooLarge(
                f"The batch names {len(batch.users):,} people; one call takes {LARGEST_BATCH:,}. Split it. "
                "Nobody was checked.",
                field="users",
            )
        decisions = await self._ask(api_key, batch, request.context.correlation_id)
        for decision in decisions:
            self._lookups.count(decision)
        results: list[dict[str, Any]] = [answers.batch_item(decision) for decision in decisions]
        revision = next((decision.revision for decision in decisions if decision.revision), None)
        response.data = msgspec.json.encode({"results": results, "revision": revision})

    async def _ask(self, api_key: str, batch: BatchLookup, correlation_id: str) -> Sequence[Decision]:
        """Ask about those who can be read, and put the others' refusals in their places."""
        readable: list[Subject] = []
        refused: dict[int, Decision] = {}
        for index, asked in enumerate(batch.users):
            try:
                readable.append(subject_of(asked))
            except InvalidRequest as error:
                refused[index] = denied(error)
        speaker = self._lookups.client.on_behalf_of(api_key, correlation_id=correlation_id)
        answered = iter(await speaker.check_many(readable, purpose=batch.check_type))
        return [refused[index] if index in refused else next(answered) for index in range(len(batch.users))]
