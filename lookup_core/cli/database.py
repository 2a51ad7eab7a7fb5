"""The owner's door to the database, for set-up and bulk loading only: NSER_DATABASE_URL, else this home's own server.

Refuses to guess: without either there is no default address and no default password.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from lookup_core.cli.exits import CommandFailed, ExitCode
from lookup_core.cli.home import RunHome

if TYPE_CHECKING:
    import asyncpg

NAME = "nser"


def owner_url() -> str:
    """The URL of the database's owner. Raises CommandFailed."""
    if given := os.environ.get("NSER_DATABASE_URL"):
        return given
    home = RunHome.here()
    record = home.read("postgres")
    password = home.root / "postgres" / "superuser.password"
    if record is None or not record.is_alive or not password.exists():
        raise CommandFailed(
            f"No database: NSER_DATABASE_URL is not set and none runs in {home.root}.",
            code=ExitCode.UNAVAILABLE,
            attempt="make run",
        )
    from lookup_core.embedded.postgres import OWNER, with_login

    return with_login(f"postgresql://{record.address}/", OWNER, NAME, password.read_text().strip())


@asynccontextmanager
async def connected(url: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """A connection for set-up work. Raises CommandFailed when there is none to be had."""
    import asyncpg

    try:
        connection = await asyncpg.connect(
            url, timeout=10, server_settings={"application_name": "nser set-up"}
        )
    except (OSError, TimeoutError, ValueError, asyncpg.PostgresError) as error:
        raise CommandFailed(
            f"The database cannot be reached ({type(error).__name__}). Its URL is in NSER_DATABASE_URL.",
            code=ExitCode.UNAVAILABLE,
            attempt="nser status",
        ) from None
    try:
        yield connection
    finally:
        await connection.close(timeout=5)
