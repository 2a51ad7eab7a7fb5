"""The blocking client and the asyncio client: the same calls, written once in plans.py.

with Client(replicas=["127.0.0.1:50051"], api_key=key) as client:
    if client.check(phone="0712345678", id_number="12345678").may_play:
        ...
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from copy import copy
from functools import update_wrapper, wraps
from time import monotonic
from typing import Any, Concatenate, Final, ParamSpec, Self, TypeVar

from google.protobuf.message import Message

from nser.lookup.v1.lookup_pb2 import CheckRequest
from nser_client.channels import AsyncChannels, BlockingChannels, Metadata
from nser_client.decision import Decision, decision_from
from nser_client.errors import InternalFault, InvalidRequest, NotBuilt, NotPermitted, NserError
from nser_client.options import Options
from nser_client.plans import Plans
from nser_client.requests import check_request, consistency_message, subject_fields
from nser_client.retry import Ask, Pause, Plan, Replicas, Retry
from nser_client.rpcs import HEALTH_PATH, HEALTH_SERVING, STREAM_CHECK
from nser_client.stream import Answered, CheckStream
from nser_client.vocabulary import Outcome, Purpose, number_of

P = ParamSpec("P")
T = TypeVar("T")
Tried = Answered | NserError | None
"""What came of a step; None when it has not been taken."""

_INDETERMINATE: Final = Outcome.INDETERMINATE


def _blocking(plan: Callable[Concatenate[Plans, P], Plan[T]]) -> Callable[Concatenate[Client, P], T]:
    def call(client: Client, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return client._run(plan(client._plans, *args, **kwargs))

    update_wrapper(call, plan)
    return call


def _awaited(
    plan: Callable[Concatenate[Plans, P], Plan[T]],
) -> Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, T]]:
    async def call(client: AsyncClient, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await client._run(plan(client._plans, *args, **kwargs))

    update_wrapper(call, plan)
    return call


def _metadata(api_key: str, correlation_id: str | None) -> Metadata:
    bearer = (("authorization", f"Bearer {api_key}"),) if api_key else ()
    return (*bearer, ("x-correlation-id", correlation_id)) if correlation_id else bearer


class Client:
    """Blocking; usable from many threads. Takes the arguments of Options. Opens nothing before its first call."""

    def __init__(self, *, replicas: Sequence[str], **options: Any) -> None:
        self.options = Options(replicas=replicas, **options)
        self._plans = Plans(self.options, Retry(Replicas(len(self.options.replicas))))
        self._channels = BlockingChannels(self.options)
        self._metadata = _metadata(self.options.api_key, None)

    def _run(self, plan: Plan[T]) -> T:
        self._channels.check_process()
        try:
            step = next(plan)
            while True:
                try:
                    answer = self._do(step)
                except NserError as error:
                    step = plan.throw(error)
                else:
                    step = plan.send(answer)
        except StopIteration as end:
            result: T = end.value
            return result

    def _do(self, step: Ask | Pause) -> Message | None:
        if isinstance(step, Pause):
            time.sleep(step.seconds)
            return None
        return self._channels.ask(step, self._metadata)

    def close(self) -> None:
        """Close the channels. The client cannot be used afterwards."""
        self._channels.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    check = _blocking(Plans.check)
    check_many = _blocking(Plans.check_many)
    register = _blocking(Plans.register)
    extend = _blocking(Plans.extend)
    get = _blocking(Plans.get)
    stats = _blocking(Plans.stats)
    generate_bst = _blocking(Plans.generate_bst)
    validate_bst = _blocking(Plans.validate_bst)
    receipts = _blocking(Plans.receipts)
    rotate_bst = _blocking(Plans.rotate_bst)
    bst_history = _blocking(Plans.bst_history)
    create_key = _blocking(Plans.create_key)
    list_keys = _blocking(Plans.list_keys)
    revoke_key = _blocking(Plans.revoke_key)


class AsyncClient:
    """For asyncio, in one event loop. Takes the arguments of Options. Opens nothing before its first call.

    Concurrent checks share one stream for each replica. A check with `at_least` or `fully_consistent` goes by itself,
    because it may wait on the server, and a deadline belongs to a call and not to a message in a stream.
    """

    def __init__(self, *, replicas: Sequence[str], **options: Any) -> None:
        self.options = Options(replicas=replicas, **options)
        self._replicas = Replicas(len(self.options.replicas))
        self._check_timeout_s = self.options.check_timeout_ms / 1000
        self._channels = AsyncChannels(self.options)
        self._owns_channels = True
        self._speak_with(self.options.api_key, None)

    def _speak_with(self, api_key: str, correlation_id: str | None) -> None:
        self._plans = Plans(self.options, Retry(self._replicas))
        self._metadata = _metadata(api_key, correlation_id)
        self._streams: dict[int, CheckStream] = {}

    def on_behalf_of(self, api_key: str, *, correlation_id: str | None = None) -> AsyncClient:
        """Return a client that speaks with another key over the same channels; for bridges, which hold no key.

        Nothing of an answer is shared between the two. Closing it closes its own streams, and leaves the channels open.
        """
        other = copy(self)
        other._owns_channels = False
        other._speak_with(api_key, correlation_id)
        return other

    @wraps(Plans.check)
    async def check(
        self,
        *,
        phone: str | None = None,
        id_number: str | None = None,
        id_type: str | None = None,
        bst: str | None = None,
        purpose: str = Purpose.EXCLUSION,
        at_least: str | None = None,
        fully_consistent: bool = False,
        ensure_bst: bool = False,
    ) -> Decision:
        self._channels.check_process()
        subject = subject_fields(phone, id_number, id_type, bst)
        number = number_of(Purpose, purpose, field="purpose")
        consistency = consistency_message(at_least, fully_consistent)
        begun, server = monotonic(), self._replicas.first()
        tried: Tried = None
        if consistency is None:
            # Most checks are asked once and answered. That is done here, for a part of what a plan costs; whatever
            # else comes of it is handed to the plan, as what came of its first step.
            try:
                tried = await self._stream(server).ask(subject, number, self._check_timeout_s)
            except NserError as error:
                tried = error
            else:
                decision = decision_from(tried.answer)
                if decision.outcome is not _INDETERMINATE and decision.error is None and not ensure_bst:
                    return decision
        request, deadline = check_request(subject, number, consistency), begun + self._check_timeout_s
        return await self._run(
            self._plans.decide(request, deadline, ensure_bst=ensure_bst, first=server), tried
        )

    async def _run(self, plan: Plan[T], tried: Tried = None) -> T:
        """Do what the plan says. `tried` is what came of its first step, where this was taken already."""
        self._channels.check_process()
        try:
            step = next(plan)
            while True:
                try:
                    answer = await self._do(step, tried)
                except NserError as error:
                    step = plan.throw(error)
                else:
                    step = plan.send(answer)
                tried = None
        except StopIteration as end:
            result: T = end.value
            return result

    async def _do(self, step: Ask | Pause, tried: Tried) -> Message | None:
        if isinstance(step, Pause):
            await asyncio.sleep(step.seconds)
            return None
        if isinstance(step.request, CheckRequest) and not step.request.HasField("consistency"):
            try:
                return await self._through_the_stream(step, step.request, tried)
            except (InvalidRequest, NotPermitted, NotBuilt, InternalFault):
                pass  # the stream itself was refused; whose message was at fault shows when each is asked alone
        return await self._channels.ask(step, self._metadata)

    async def _through_the_stream(self, step: Ask, request: CheckRequest, tried: Tried) -> Message:
        if isinstance(tried, NserError):
            raise tried
        if tried is not None:
            return tried
        return await self._stream(step.server).ask(request.subject, request.purpose, step.timeout_s)

    def _stream(self, server: int) -> CheckStream:
        stream = self._streams.get(server)
        if stream is None or stream.is_broken:
            stream = self._streams[server] = self._new_stream(server)
        return stream

    def _new_stream(self, server: int) -> CheckStream:
        return CheckStream(lambda: self._channels.callable(server, STREAM_CHECK)(metadata=self._metadata))

    async def replicas_serving(self, *, timeout_s: float = 1.0) -> Mapping[str, bool]:
        """Ask each replica's health service; by address."""
        asked = [
            self._channels.is_serving(server, HEALTH_PATH, HEALTH_SERVING, timeout_s)
            for server in range(len(self.options.replicas))
        ]
        return dict(zip(self.options.replicas, await asyncio.gather(*asked), strict=True))

    async def close(self) -> None:
        """Close streams and channels. The client cannot be used afterwards."""
        await asyncio.gather(*(stream.close() for stream in self._streams.values()))
        self._streams.clear()
        if self._owns_channels:
            await self._channels.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    check_many = _awaited(Plans.check_many)
    register = _awaited(Plans.register)
    extend = _awaited(Plans.extend)
    get = _awaited(Plans.get)
    stats = _awaited(Plans.stats)
    generate_bst = _awaited(Plans.generate_bst)
    validate_bst = _awaited(Plans.validate_bst)
    receipts = _awaited(Plans.receipts)
    rotate_bst = _awaited(Plans.rotate_bst)
    bst_history = _awaited(Plans.bst_history)
    create_key = _awaited(Plans.create_key)
    list_keys = _awaited(Plans.list_keys)
    revoke_key = _awaited(Plans.revoke_key)
