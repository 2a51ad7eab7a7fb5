"""Entering demo people: through the register's own RPCs for a few, straight into the tables for a country's worth."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Final
from uuid import UUID, uuid5

from lookup_core.cli import words
from lookup_core.cli.demo.people import DemoPerson, people
from lookup_core.domain.document import DocumentType
from lookup_core.kernel.clock import SystemClock

if TYPE_CHECKING:
    from lookup_core.cli.connection import Connection
    from lookup_core.kernel.keyring import KeyRing
    from lookup_core.registrar import bulk

NAMES: Final = UUID(
    "6f1f5c0e-2f2b-5a0c-9a57-3a1d9c1b7e60"
)  # of the request ids: a repeated seed repeats its requests
TIMEOUT_S: Final = 10.0
PATIENCE_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Step:
    """A part of the work that is done."""

    people: int
    excluded: int
    known: int = 0


def enter_by_rpc(
    to: Connection, given: Iterator[DemoPerson], *, seed: int, concurrency: int
) -> Iterator[Step]:
    """Enter each person by one RPC, at most `concurrency` at a time. A repeated seed changes nothing."""
    with ThreadPoolExecutor(max_workers=concurrency) as pool:
        pending: set[Future[Step]] = set()
        try:
            for person in given:
                pending.add(pool.submit(_enter, to, person, seed))
                if len(pending) >= concurrency:
                    done, pending = wait(pending, return_when=FIRST_COMPLETED)
                    yield from (future.result() for future in done)
            while pending:
                done, pending = wait(pending, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        finally:
            for future in pending:
                future.cancel()


def _enter(to: Connection, person: DemoPerson, seed: int) -> Step:
    if person.period is None:
        _give_token(to, person)
        return Step(1, 0)
    from nser.register.v1 import register_pb2, register_pb2_grpc

    request = register_pb2.RegisterRequest(
        request_id=str(uuid5(NAMES, f"{seed}/{person.number}")),
        phone=person.phone,
        document=words.document(person.national_id, DocumentType.NATIONAL_ID),
        date_of_birth=person.date_of_birth.isoformat(),
        period=words.period(person.period),
        first_name=person.first_name,
        last_name=person.last_name,
        county=person.county,
        channel=words.channel(words.Channel.OFFICE),
    )
    stub = register_pb2_grpc.RegisterServiceStub(to.channel)
    to.call(stub.Register, request, register_pb2.RegisterResponse, timeout_s=TIMEOUT_S, patience_s=PATIENCE_S)
    return Step(1, 1)


def _give_token(to: Connection, person: DemoPerson) -> None:
    from nser.bst.v1 import bst_pb2, bst_pb2_grpc

    request = bst_pb2.GenerateRequest(
        phone=person.phone, document=words.document(person.national_id, DocumentType.NATIONAL_ID)
    )
    stub = bst_pb2_grpc.BstServiceStub(to.channel)
    to.call(stub.Generate, request, bst_pb2.GenerateResponse, timeout_s=TIMEOUT_S, patience_s=PATIENCE_S)


async def enter_in_bulk(
    connections: Sequence[bulk.Connection], ring: KeyRing, count: int, *, seed: int, excluded_share: float
) -> AsyncIterator[Step]:
    """Enter `count` people, one chunk at a time on each connection.

    Replicas that run are waited for by the caller (`bulk.in_force`).
    """
    given = people(count, seed=seed, excluded_share=excluded_share)
    async for step in enter_these_in_bulk(connections, ring, given):
        yield step


async def enter_these_in_bulk(
    connections: Sequence[bulk.Connection], ring: KeyRing, given: Iterator[DemoPerson]
) -> AsyncIterator[Step]:
    """Enter those who are given, as `enter_in_bulk` does."""
    from lookup_core.registrar import bulk

    clock, free = SystemClock(), list(connections)
    entries = entries_of(given)
    under_way: dict[asyncio.Task[bulk.Loaded], bulk.Connection] = {}
    try:
        while (chunk := list(islice(entries, bulk.CHUNK))) or under_way:
            if chunk:
                at = free.pop()
                under_way[asyncio.create_task(bulk.load(at, ring, chunk, at=clock.now()))] = at
            if chunk and free:
                continue
            done, _ = await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                free.append(under_way.pop(task))
                loaded = task.result()
                yield Step(loaded.entered, loaded.excluded, loaded.known)
    finally:
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
    await bulk.analyse(connections[0])


def entries_of(given: Iterator[DemoPerson]) -> Iterator[bulk.Entry]:
    """What the register is told of each."""
    from lookup_core.domain.document import parse_document
    from lookup_core.domain.identity import Identity
    from lookup_core.domain.phone import parse_phone
    from lookup_core.registrar.bulk import Entry

    def entry(person: DemoPerson) -> Entry:
        document = parse_document(DocumentType.NATIONAL_ID, person.national_id)
        identity = Identity(parse_phone(person.phone), document, person.date_of_birth)
        return Entry(identity, person.period, person.first_name, person.last_name, person.county)

    return map(entry, given)
