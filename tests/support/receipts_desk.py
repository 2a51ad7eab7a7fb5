"""A registrar and a replica that logs, and an operator who asks: what a receipt needs to come about."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

from lookup_core.audit.log import Log
from lookup_core.registrar.audit.sealing import name_for
from lookup_core.registrar.create_key import NewKey
from nser_client import AsyncClient, Decision
from tests.support.founding import Key
from tests.support.people import Someone
from tests.support.registrar_desk import RING, a_request_id
from tests.support.running_registrar import RunningRegistrar, running_registrar
from tests.support.running_replica import running_replica
from tests.support.services import Database
from tests.support.waiting import until

SEALED_S = 60.0
SEALED = """
SELECT (SELECT count(*) FROM register.lookup_log), (SELECT count(*) FROM register.lookup_segment_unsealed),
       (SELECT count(*) FROM register.audit_entry WHERE action = 'lookup.segment_sealed'
        AND entry_id >= coalesce((SELECT max(size) FROM register.audit_checkpoint), 0))
"""


@dataclass
class ReceiptsDesk:
    """Everything is real and in this process, but PostgreSQL."""

    database: Database
    registrar: RunningRegistrar
    replica: str
    operator: AsyncClient
    other: AsyncClient
    admin: AsyncClient
    log_key: str
    owner: Any  # a connection of the database's owner
    asked: int = 0

    async def sealed(self) -> None:
        """Return when every check so far was logged and is under a signed checkpoint."""

        async def are_they() -> bool:
            logged, waiting, uncovered = await self.owner.fetchrow(SEALED)
            return logged >= self.asked and not waiting and not uncovered

        await until(are_they, f"{self.asked} checks are sealed", within_s=SEALED_S)

    async def excluded(self, person: Someone) -> Decision:
        """Register somebody, and have the operator ask about them."""
        await self.admin.register(
            phone=person.phone, id_number=person.document, period="1_year", date_of_birth="1990-04-17"
        )
        return await self.check(phone=person.phone, id_number=person.document)

    async def check(self, **subject: Any) -> Decision:
        self.asked += 1
        return await self.operator.check(**subject)


@asynccontextmanager
async def receipts_desk(
    database: Database, folder: Path, **registrar_settings: Any
) -> AsyncIterator[ReceiptsDesk]:
    async with AsyncExitStack() as stack:
        registrar = await stack.enter_async_context(running_registrar(database, **registrar_settings))
        keys = {
            name: await registrar.setup.create_key(NewKey(name, scopes), a_request_id())
            for name, scopes in (
                ("Simba Bet", ("nser:read",)),
                ("Twiga Bet", ("nser:read",)),
                ("GRAK", ("nser:admin",)),
            )
        }
        calls_with = Key("", keys["Simba Bet"].secret, "Simba Bet", ())
        replica = await stack.enter_async_context(
            running_replica(database.replica_url, RING, calls_with, lookup_log_dir=folder / "log")
        )
        await replica.is_live()
        clients = {
            name: await stack.enter_async_context(
                AsyncClient(
                    replicas=[replica.replica.address],
                    registrar=registrar.registrar.address,
                    api_key=created.secret,
                    check_timeout_ms=5_000,
                )
            )
            for name, created in keys.items()
        }
        owner = await asyncpg.connect(database.owner_url)
        stack.push_async_callback(owner.close)
        origin = (await Log(owner).head()).origin
        yield ReceiptsDesk(
            database,
            registrar,
            replica.replica.address,
            *(clients[name] for name in ("Simba Bet", "Twiga Bet", "GRAK")),
            name_for(RING, origin).signer.verifier.text,
            owner,
        )
