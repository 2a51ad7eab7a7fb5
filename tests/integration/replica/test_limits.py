"""The limits of connections that an operator sets: how many, how old, how many calls each, and silence."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.integration.replica.conftest import StartReplica
from tests.support.plain_http2 import ACK, GO_AWAY, PING, PREFACE, SETTINGS, frame
from tests.support.running_replica import RunningReplica
from tests.support.waiting import until

MAX_CONCURRENT_STREAMS = 3


class Caller:
    """A connection that says that it is HTTP/2, and hears what comes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def heard(self, kind: int) -> bytes:
        """The payload of the next frame of a kind. Raises IncompleteReadError when the connection ends before."""
        while True:
            head = await self._reader.readexactly(9)
            payload = await self._reader.readexactly(int.from_bytes(head[:3], "big"))
            if head[3] == PING and not head[4] & ACK and kind != PING:
                self._writer.write(frame(PING, ACK, 0, payload))
            if head[3] == kind:
                return payload

    async def ends(self) -> None:
        with contextlib.suppress(ConnectionResetError):  # what we sent was not read
            while await self._reader.read(1_024):
                pass


@asynccontextmanager
async def caller(replica: RunningReplica) -> AsyncIterator[Caller]:
    host, _, port = replica.replica.address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(PREFACE + frame(SETTINGS, 0, 0))
        async with asyncio.timeout(15):
            yield Caller(reader, writer)
    finally:
        writer.close()


def counted(replica: RunningReplica, name: str) -> int:
    counters: dict[str, int] = replica.replica.plane.counters()  # type: ignore[assignment]
    return counters[name]


async def test_connections_beyond_the_limit_are_closed_and_counted(start_replica: StartReplica) -> None:
    replica = await start_replica(max_connections=2)
    async with caller(replica) as one, caller(replica) as other:
        await one.heard(SETTINGS)
        await other.heard(SETTINGS)
        async with caller(replica) as third:
            await third.ends()
        assert counted(replica, "refused_connections") == 1
    await until(lambda: counted(replica, "open_connections") == 0, "those that went have given their place")
    async with caller(replica) as later:
        await later.heard(SETTINGS)


async def test_a_caller_is_told_how_many_calls_a_connection_may_have_open(
    start_replica: StartReplica,
) -> None:
    replica = await start_replica(max_streams=7)
    async with caller(replica) as one:
        told = await one.heard(SETTINGS)
    pairs = {
        int.from_bytes(told[at : at + 2], "big"): int.from_bytes(told[at + 2 : at + 6], "big")
        for at in range(0, len(told), 6)
    }
    assert pairs[MAX_CONCURRENT_STREAMS] == 7


async def test_a_connection_of_age_is_told_to_go_and_then_ended(start_replica: StartReplica) -> None:
    replica = await start_replica(connection_age_s=1, connection_age_grace_s=1)
    async with caller(replica) as one:
        await one.heard(GO_AWAY)
        await one.ends()


async def test_a_connection_that_answers_no_ping_is_ended_and_one_that_does_stays(
    start_replica: StartReplica,
) -> None:
    replica = await start_replica(keep_alive_s=1, keep_alive_timeout_s=1)
    async with caller(replica) as silent, caller(replica) as lively:
        hearing = asyncio.create_task(lively.heard(GO_AWAY))
        await silent.ends()
        await until(lambda: counted(replica, "dropped_connections") == 1, "it is counted")
        assert not hearing.done()
        hearing.cancel()
