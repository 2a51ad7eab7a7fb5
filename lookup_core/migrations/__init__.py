"""Migrations of schema `register`: tables, views, roles and grants, as raw SQL run by Alembic (adr/0002).

Refuses to hold logic: constraints, append-only triggers and grants only. Nothing else in `lookup_core` imports this
package but the command line and the tests.
"""

from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from alembic import command
from alembic.config import Config


def _config(url: str) -> Config:
    parts = urlsplit(url)
    driver = urlunsplit(("postgresql+psycopg", *parts[1:]))
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.set_main_option("sqlalchemy.url", driver.replace("%", "%%"))
    return config


def migrate(url: str, revision: str = "head") -> None:
    """Bring the database at `url` (its owner's URL) up to `revision`. Safe to run at the same time elsewhere."""
    command.upgrade(_config(url), revision)


def unmigrate(url: str, revision: str = "base") -> None:
    """Take the database at `url` down to `revision`. Drops data: for tests, and a failed roll-out of a new schema."""
    command.downgrade(_config(url), revision)
