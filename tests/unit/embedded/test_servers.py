"""A server that was given comes before our own, and keeps its address."""

from pathlib import Path

from lookup_core.embedded.home import Home
from lookup_core.embedded.postgres import EmbeddedPostgres
from lookup_core.embedded.redis import EmbeddedRedis
from lookup_core.embedded.servers import postgres_server, redis_server

GIVEN = "postgresql://owner:s%40cret@db.example:5433/nser?sslmode=verify-full"


def test_a_given_database_is_used_as_it_is_given(tmp_path: Path) -> None:
    assert postgres_server(Home.at(tmp_path), GIVEN).url() == GIVEN


def test_another_login_or_database_keeps_the_given_host_and_options(tmp_path: Path) -> None:
    server = postgres_server(Home.at(tmp_path), GIVEN)
    assert (
        server.url("nser_replica", "other", "p/w")
        == "postgresql://nser_replica:p%2Fw@db.example:5433/other?sslmode=verify-full"
    )
    assert server.url("nser_replica", password="x").endswith("@db.example:5433/nser?sslmode=verify-full")


def test_a_given_server_shows_no_password(tmp_path: Path) -> None:
    assert "cret" not in repr(postgres_server(Home.at(tmp_path), GIVEN))


def test_a_given_redis_is_used_with_the_asked_number(tmp_path: Path) -> None:
    server = redis_server(Home.at(tmp_path), "redis://:x@cache.example:6380/2")
    assert server.url() == "redis://:x@cache.example:6380/2"
    assert server.url(5) == "redis://:x@cache.example:6380/5"


def test_without_a_url_the_servers_are_our_own_in_the_home_folder(tmp_path: Path) -> None:
    home = Home.at(tmp_path)
    postgres, redis = postgres_server(home, None), redis_server(home, "")
    assert isinstance(postgres, EmbeddedPostgres)
    assert isinstance(redis, EmbeddedRedis)
    assert (postgres.folder, redis.folder) == (home.postgres, home.redis)
