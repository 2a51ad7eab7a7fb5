"""The use cases on a database of the test's own, and a look at its tables; and a registrar that a module shares."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest

from tests.support.desks import desk, owner
from tests.support.running_registrar import RunningRegistrar, running_registrar
from tests.support.services import Database, Services, create_database, drop_database

__all__ = ["desk", "owner"]

Rows = Callable[..., Awaitable[list[Any]]]
Metadata = tuple[tuple[str, str], ...]


@pytest.fixture
def rows(owner: Any) -> Rows:
    """The rows of a query, one plain value for each where it has one column."""

    async def fetch(query: str, *arguments: object) -> list[Any]:
        found = await owner.fetch(query, *arguments)
        return [row[0] if len(row) == 1 else tuple(row) for row in found]

    return fetch


@pytest.fixture(scope="module")
def shared(services: Services) -> Iterator[Database]:
    made = create_database(services)
    yield made
    drop_database(services.postgres_url, made.name)


@pytest.fixture(scope="module")
async def running(shared: Database) -> AsyncIterator[RunningRegistrar]:
    async with running_registrar(shared) as started:
        yield started


@pytest.fixture(scope="module")
async def admin(running: RunningRegistrar) -> Metadata:
    return await running.key("nser:admin", operator="GRAK")
