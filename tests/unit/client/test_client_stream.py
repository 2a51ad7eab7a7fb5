"""How a stream breaks, on a call that the test plays: which error those in flight are given."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from nser.lookup.v1 import lookup_pb2
from nser_client import DeadlineExceeded, InternalFault, Unreachable
from nser_client.stream import CHECKS_A_MESSAGE, CheckStream

WANJIKU = lookup_pb2.Subject(phone="0712345678")


class Ended:
    """A call that answers the first `answers` writes; the next one finds that it has ended, as grpc.aio tells it."""

    def __init__(self, answers: int) -> None:
        self._answers = answers
        self._responses: asyncio.Queue[lookup_pb2.StreamCheckResponse | None] = asyncio.Queue()
        self._error = grpc.aio.AioRpcError(
            grpc.StatusCode.INTERNAL, grpc.aio.Metadata(), grpc.aio.Metadata(), "Internal error from Core"
        )

    async def write(self, request: lookup_pb2.StreamCheckRequest) -> None:
        if self._answers == 0:
            await self._responses.put(None)
            raise self._error
        self._answers -= 1
        await self._responses.put(lookup_pb2.StreamCheckResponse(sequence=request.sequence))

    async def __aiter__(self) -> AsyncIterator[lookup_pb2.StreamCheckResponse]:
        while (response := await self._responses.get()) is not None:
            yield response
        raise self._error

    def cancel(self) -> None:
        pass


@pytest.mark.parametrize(("answers", "error"), [(1, Unreachable), (0, InternalFault)])
async def test_a_status_that_a_failed_write_hid(answers: int, error: type[Exception]) -> None:
    ended: Any = Ended(answers)
    stream = CheckStream(lambda: ended)
    for _ in range(answers):
        await stream.ask(WANJIKU, 0, 5)
    with pytest.raises(error):
        await stream.ask(WANJIKU, 0, 5)
    assert stream.is_broken
    assert stream.in_flight == 0
    with pytest.raises(error):
        await stream.ask(WANJIKU, 0, 5)


async def test_a_closed_stream_fails_what_is_in_flight() -> None:
    class Silent(Ended):
        async def write(self, request: lookup_pb2.StreamCheckRequest) -> None:
            pass

    silent: Any = Silent(0)
    stream = CheckStream(lambda: silent)
    asked = stream.ask(WANJIKU, 0, 5)
    await asyncio.sleep(0)
    await stream.close()
    with pytest.raises(Unreachable, match="closed"):
        await asked


# -- what travels together


class Played(Ended):
    """A call that the test plays: it notes each message as it is written, and answers when it is told to."""

    def __init__(self) -> None:
        super().__init__(0)
        self.written: list[lookup_pb2.StreamCheckRequest] = []
        self.may_write = asyncio.Event()
        self.may_write.set()

    async def write(self, request: lookup_pb2.StreamCheckRequest) -> None:
        kept = lookup_pb2.StreamCheckRequest()
        kept.CopyFrom(request)
        self.written.append(kept)
        await self.may_write.wait()

    def sequences(self) -> list[list[int]]:
        """Of each message that was written."""
        return [[each.sequence, *(item.sequence for item in each.more)] for each in self.written]

    async def answer(self, *sequences: int) -> None:
        """Answer these checks in one message."""
        first, *more = sequences
        answers = [lookup_pb2.StreamCheckAnswer(sequence=each) for each in more]
        await self._responses.put(lookup_pb2.StreamCheckResponse(sequence=first, more=answers))


async def turns(count: int = 20) -> None:
    """Let everything that can go on, go on."""
    for _ in range(count):
        await asyncio.sleep(0)


def on(played: Any) -> CheckStream:
    return CheckStream(lambda: played)


async def test_what_waits_travels_together_as_far_as_a_message_carries_it() -> None:
    played = Played()
    stream = on(played)
    asked = [stream.ask(WANJIKU, 0, 5) for _ in range(CHECKS_A_MESSAGE * 2 + 5)]
    await turns()
    assert [len(sequences) for sequences in played.sequences()] == [CHECKS_A_MESSAGE, CHECKS_A_MESSAGE, 5]
    for sequences in played.sequences():
        await played.answer(*sequences)
    assert [(await answer).sequence for answer in asked] == [
        sequence for sequences in played.sequences() for sequence in sequences
    ]
    await stream.close()


async def test_a_message_that_is_being_written_is_joined_by_nobody() -> None:
    played = Played()
    played.may_write.clear()
    stream = on(played)
    first = stream.ask(WANJIKU, 0, 5)
    await turns()
    later = [stream.ask(WANJIKU, 0, 5) for _ in range(3)]
    await turns()
    assert [len(sequences) for sequences in played.sequences()] == [1]
    played.may_write.set()
    await turns()
    ((one,), three) = played.sequences()
    assert len(three) == 3
    await played.answer(*three)  # an answer to the later ones says nothing to the first
    await turns()
    assert [answer.done() for answer in (first, *later)] == [False, True, True, True]
    await played.answer(one)
    assert (await first).sequence == one
    await stream.close()


async def test_each_answer_goes_to_its_own_sequence_in_whatever_order_and_message() -> None:
    played = Played()
    stream = on(played)
    asked = [stream.ask(WANJIKU, 0, 5) for _ in range(5)]
    await turns()
    (sequences,) = played.sequences()
    await played.answer(sequences[3], 2**63, sequences[0])  # one of them is nobody's
    await turns()
    assert [answer.done() for answer in asked] == [True, False, False, True, False]
    await played.answer(sequences[4])
    await played.answer(sequences[2], sequences[3], sequences[1])  # one of them was answered before
    assert [(await answer).sequence for answer in asked] == sequences
    assert stream.in_flight == 0
    await stream.close()


async def test_purposes_never_share_a_message_and_take_turns() -> None:
    played = Played()
    stream = on(played)
    for _ in range(CHECKS_A_MESSAGE + 1):
        stream.ask(WANJIKU, lookup_pb2.PURPOSE_EXCLUSION, 5)
        stream.ask(WANJIKU, lookup_pb2.PURPOSE_MARKETING, 5)
    await turns()
    purposes = [(message.purpose, 1 + len(message.more)) for message in played.written]
    assert purposes == [(1, CHECKS_A_MESSAGE), (2, CHECKS_A_MESSAGE), (1, 1), (2, 1)]
    await stream.close()


async def test_who_gave_up_before_it_was_sent_is_not_asked_about() -> None:
    played = Played()
    stream = on(played)
    asked = [stream.ask(WANJIKU, 0, 5) for _ in range(4)]
    asked[0].cancel()
    asked[2].cancel()
    await turns()
    assert [len(sequences) for sequences in played.sequences()] == [2]
    assert stream.in_flight == 2
    await stream.close()


async def test_each_check_has_a_deadline_of_its_own() -> None:
    played = Played()
    stream = on(played)
    patient = [stream.ask(WANJIKU, 0, 30) for _ in range(3)]
    hasty = stream.ask(WANJIKU, 0, 0.03)
    await turns()
    ((one, *_),) = played.sequences()
    await played.answer(one)  # the stream is alive
    with pytest.raises(DeadlineExceeded):
        await hasty
    assert not stream.is_broken
    assert [answer.done() for answer in patient] == [True, False, False]
    later = stream.ask(WANJIKU, 0, 0.03)  # the clock is set again
    with pytest.raises(DeadlineExceeded):
        await later
    await stream.close()


async def test_a_stream_that_answers_nobody_until_a_deadline_is_given_up() -> None:
    stream = on(Played())
    patient, hasty = stream.ask(WANJIKU, 0, 30), stream.ask(WANJIKU, 0, 0.03)
    with pytest.raises(DeadlineExceeded):
        await hasty
    assert stream.is_broken
    with pytest.raises(Unreachable, match="silent"):
        await patient


async def test_who_gave_up_says_nothing_about_the_stream() -> None:
    stream = on(Played())
    hasty, patient = stream.ask(WANJIKU, 0, 0.02), stream.ask(WANJIKU, 0, 30)
    hasty.cancel()
    await asyncio.sleep(0.06)  # its deadline passes
    assert not stream.is_broken
    assert not patient.done()
    await stream.close()
    with pytest.raises(Unreachable):
        await patient
