"""The benchmark's register of tokens is what its figures say: as many, found by their phones, with their uses."""

from __future__ import annotations

from uuid import uuid4

import asyncpg
import pytest

from benchmarks.tokens.filling import BUSY, BUSY_USES, fill
from lookup_core.cli.demo.people import person
from tests.support.registrar_desk import RING, an_identity, desk_on
from tests.support.services import Database
from tests.support.token_desk import TokenDesk

pytestmark = pytest.mark.services

TOKENS = 400


async def test_the_filled_register_has_the_tokens_and_their_uses(database: Database) -> None:
    async with desk_on(database) as desk:
        owner = await asyncpg.connect(database.owner_url)
        operator_id = uuid4()
        try:
            await owner.execute(
                "INSERT INTO register.operator (operator_id, name) VALUES ($1, 'x')", operator_id
            )
            filled = await fill(database.owner_url, RING, operator_id, TOKENS)
            assert filled.uses == TOKENS // 2 + BUSY * BUSY_USES
            assert await owner.fetchval("SELECT count(*) FROM register.bst_token") == TOKENS
        finally:
            await owner.close()
        known = await desk.generate(an_identity(phone=person(7, seed=1).phone))
        assert not known.is_new
        page = await TokenDesk(desk).history(known.token, size=10)
        assert page.entries
