"""Fixtures for tests of the use cases: a desk on a database of the test's own, and its owner's connection."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from tests.support.registrar_desk import Desk, desk_on
from tests.support.services import Database


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
