"""The fixtures themselves: one server for all, one database for each test."""

import psycopg
import redis

from tests.support.services import Database


def test_a_database_is_migrated_and_the_roles_can_log_in(database: Database) -> None:
    for url in (database.owner_url, database.registrar_url, database.replica_url):
        with psycopg.connect(url) as connection:
            found = connection.execute("SELECT to_regclass('register.head') IS NOT NULL").fetchone()
        assert found == (True,)


def test_two_databases_share_nothing(database: Database, redis_url: str) -> None:
    with psycopg.connect(database.owner_url) as connection:
        connection.execute("CREATE TABLE public.mine ()")
    with redis.Redis.from_url(redis_url) as client:
        client.set("mine", 1)


def test_a_fresh_database_is_empty(database: Database, redis_url: str) -> None:
    with psycopg.connect(database.owner_url) as connection:
        assert connection.execute("SELECT to_regclass('public.mine')").fetchone() == (None,)
    with redis.Redis.from_url(redis_url) as client:
        assert client.dbsize() == 0
