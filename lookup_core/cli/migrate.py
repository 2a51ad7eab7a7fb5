"""`nser migrate`: bring the schema `register` up to this version of the code."""

from typing import Annotated

import typer

from lookup_core.cli.database import owner_url
from lookup_core.cli.exits import CommandFailed, ExitCode
from lookup_core.cli.output import Json, tell


def migrate(
    to: Annotated[str, typer.Option(help="A revision of the schema; by default the newest.")] = "head",
    json: Json = False,
) -> None:
    """Bring the database up to date (NSER_DATABASE_URL, its owner's; else this home's). Safe to repeat."""
    upgrade(owner_url(), to)
    tell(f"The schema is at {to}.", {"revision": to}, as_json=json)


def upgrade(url: str, to: str = "head") -> None:
    """Migrate. Raises CommandFailed with what to do."""
    from alembic.util import CommandError
    from sqlalchemy.exc import DBAPIError

    from lookup_core.migrations import migrate as migrate_to

    try:
        migrate_to(url, to)
    except CommandError:
        raise CommandFailed(
            f"There is no migration {to!r}.",
            code=ExitCode.USAGE,
            attempt="nser migrate   (goes to the newest)",
        ) from None
    except DBAPIError as error:
        state = getattr(error.orig, "sqlstate", None)
        if state == "55P03":
            raise CommandFailed(
                "A table is in use, so the migration stopped after 4 s and changed nothing.",
                code=ExitCode.UNAVAILABLE,
                attempt="nser migrate   (again, at a quieter moment)",
            ) from None
        why = f"SQLSTATE {state}" if state else "no connection"
        raise CommandFailed(
            f"The migration failed ({why}) and changed nothing. Its URL, in NSER_DATABASE_URL, must be the owner's.",
            code=ExitCode.UNAVAILABLE if state is None else ExitCode.REFUSED,
            attempt="nser status",
        ) from None
