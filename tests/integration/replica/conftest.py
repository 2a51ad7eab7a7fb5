"""A founded register, the keys to it, and replicas over it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from lookup_core.kernel.keyring import KeyRing
from tests.support.founding import Key, found, new_key
from tests.support.register_writer import RegisterWriter
from tests.support.running_replica import RunningReplica, running_replica
from tests.support.services import Database

StartReplica = Callable[..., Awaitable[RunningReplica]]


@pytest.fixture(scope="session")
def ring() -> KeyRing:
    return KeyRing.create()


@pytest.fixture
def key() -> Key:
    """The key of an operator who checks."""
    return new_key("Simba Bet", "nser:read")


@pytest.fixture
def other_keys() -> list[Key]:
    """More keys that the register is founded with; a test that needs some overrides this."""
    return []


@pytest.fixture
async def register(
    database: Database, ring: KeyRing, key: Key, other_keys: list[Key]
) -> AsyncIterator[RegisterWriter]:
    await found(database.owner_url, ring, [key, *other_keys])
    async with RegisterWriter.to(database.owner_url, ring) as writer:
        yield writer


@pytest.fixture
async def start_replica(
    database: Database, register: RegisterWriter, ring: KeyRing, key: Key
) -> AsyncIterator[StartReplica]:
    """Starts a replica that has its index and a lease."""
    async with AsyncExitStack() as stack:

        async def start(*, live: bool = True, **settings: Any) -> RunningReplica:
            running = await stack.enter_async_context(
                running_replica(database.replica_url, ring, key, **settings)
            )
            if live:
                await running.is_live()
            return running

        yield start


@pytest.fixture
async def replica(start_replica: StartReplica) -> RunningReplica:
    return await start_replica()
