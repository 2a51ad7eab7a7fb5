"""Fixtures of every layer: the session's servers, a fresh database, an empty Redis.

Servers start only when a test asks for them. Under xdist the controller starts them before its workers, so that the
workers share one set; unit and property tests alone (`pytest tests/unit`) start none.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
import redis

from tests.support.services import (
    Database,
    Services,
    create_database,
    drop_database,
    redis_database,
    running_services,
)

TOLD = "nser_services"
FAILED = "nser_services_failed"
LAYERS_WITHOUT_SERVERS = ("style", "unit", "property")
_stack = pytest.StashKey[ExitStack]()
_services = pytest.StashKey[Services]()


def _shared_services(config: pytest.Config) -> Services:
    """The session's servers: as the controller told, else started now, once, for this process."""
    heard = getattr(config, "workerinput", {})
    if FAILED in heard:
        pytest.fail(f"The session's servers could not be prepared:\n{heard[FAILED]}", pytrace=False)
    if TOLD in heard:
        return Services.heard(heard[TOLD])
    if _services not in config.stash:
        stack = config.stash.setdefault(_stack, ExitStack())
        config.stash[_services] = stack.enter_context(running_services())
    return config.stash[_services]


def _wants_servers(config: pytest.Config) -> bool:
    named = [argument.split("::")[0] for argument in config.args]
    return not all(any(f"tests/{layer}" in name for layer in LAYERS_WITHOUT_SERVERS) for name in named)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: object) -> None:
    """In xdist's controller, before a worker starts: tell it where the servers are."""
    config: pytest.Config = node.config  # type: ignore[attr-defined]
    heard: dict[str, str] = node.workerinput  # type: ignore[attr-defined]
    if not _wants_servers(config):
        return
    try:
        heard[TOLD] = _shared_services(config).told()
    except Exception as error:  # the tests that need no server still run
        heard[FAILED] = str(error)


def pytest_unconfigure(config: pytest.Config) -> None:
    if (stack := config.stash.get(_stack, None)) is not None:
        stack.close()


def _worker_number() -> int:
    return int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))


@pytest.fixture(scope="session")
def services(request: pytest.FixtureRequest) -> Services:
    """The session's PostgreSQL and Redis."""
    return _shared_services(request.config)


@pytest.fixture
def database(services: Services) -> Iterator[Database]:
    """A database of the test's own, migrated, empty; dropped afterwards."""
    made = create_database(services)
    yield made
    drop_database(services.postgres_url, made.name)


@pytest.fixture
def redis_url(services: Services) -> str:
    """The URL of an empty Redis database that no other test worker uses."""
    url = redis_database(services, _worker_number())
    with redis.Redis.from_url(url) as client:
        client.flushdb()
    return url
