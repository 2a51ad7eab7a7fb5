"""The use cases on a database of the test's own, and a look at its tables."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import asyncpg
import pytest

from tests.support.registrar_desk import Desk, desk_on
from tests.support.services import Database

Rows = Callable[..., Awaitable[list[Any]]]


@pytest.fixture
async def desk(database: Database) -> AsyncIterator[Desk]:
    async with desk_on(database) as opened:
        yield opened


@pytest.fixture
async def owner(database: Database) -> AsyncIterator[Any]:
    """A connection of the database's owner."""
    connection = await asyncpg.connect(database.owner_url)
    yield connection
    await connection.close()


@pytest.fixture
def rows(owner: Any) -> Rows:
    """The rows of a query, one plain value for each where it has one column."""

    async def fetch(query: str, *arguments: object) -> list[Any]:
        found = await owner.fetch(query, *arguments)
        return [row[0] if len(row) == 1 else tuple(row) for row in found]

    return fetch
