"""A registrar, a replica and three callers, shared by what only reads; one's own for what does harm."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.support.receipts_desk import ReceiptsDesk, receipts_desk
from tests.support.services import Database, Services, create_database, drop_database


@pytest.fixture(scope="module")
def shared(services: Services) -> Iterator[Database]:
    made = create_database(services)
    yield made
    drop_database(services.postgres_url, made.name)


@pytest.fixture(scope="module")
async def desk(shared: Database, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ReceiptsDesk]:
    async with receipts_desk(shared, tmp_path_factory.mktemp("replica")) as opened:
        yield opened


@pytest.fixture
async def own_desk(database: Database, tmp_path: Path) -> AsyncIterator[ReceiptsDesk]:
    async with receipts_desk(database, tmp_path) as opened:
        yield opened
