"""The schema goes up, down and up again, and two migrators at once do not trip over each other."""

import subprocess
import sys

import psycopg

from lookup_core.migrations import migrate, unmigrate
from tests.support.services import Database

TABLES = "SELECT count(*) FROM pg_tables WHERE schemaname = 'register' AND tablename <> 'alembic_version'"


def tables(database: Database) -> int:
    with psycopg.connect(database.owner_url) as connection:
        row = connection.execute(TABLES).fetchone()
    assert row is not None
    return int(row[0])


def test_the_schema_goes_up_down_and_up(database: Database) -> None:
    before = tables(database)
    assert before > 0
    unmigrate(database.owner_url)
    assert tables(database) == 0
    migrate(database.owner_url)
    assert tables(database) == before


def test_two_migrators_at_once_wait_for_each_other(database: Database) -> None:
    unmigrate(database.owner_url)
    program = "import sys; from lookup_core.migrations import migrate; migrate(sys.argv[1])"
    both = [subprocess.Popen([sys.executable, "-c", program, database.owner_url]) for _ in range(2)]
    assert [one.wait(timeout=60) for one in both] == [0, 0]
    assert tables(database) > 0


def test_partitions_of_the_lookup_log_are_made_ahead(database: Database) -> None:
    with psycopg.connect(database.registrar_url, autocommit=True) as connection:
        connection.execute("SELECT register.ensure_lookup_log(2)")
        connection.execute("SELECT register.ensure_lookup_log(2)")
        count = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'register.lookup_log'::regclass"
        assert connection.execute(count).fetchone() == (4,)
