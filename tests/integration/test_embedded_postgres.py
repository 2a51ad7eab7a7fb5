"""The embedded PostgreSQL: nothing that a crash leaves behind blocks the next start."""

import os
import pwd
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from lookup_core.embedded.account import NAMESPACE, account_for_postgres
from lookup_core.embedded.child import processes_in
from lookup_core.embedded.home import ServerRefused
from lookup_core.embedded.postgres import NOT_DURABLE, EmbeddedPostgres
from lookup_core.embedded.programs import find_postgres
from tests.support.processes import is_running, kill9, none_left_in, python

PARENT = """
import sys, time
from pathlib import Path
from lookup_core.embedded.postgres import EmbeddedPostgres
server = EmbeddedPostgres(Path(sys.argv[1])).start()
print(server.pid, flush=True)
time.sleep(600)
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    with EmbeddedPostgres(tmp_path / "postgres", settings=NOT_DURABLE) as started:
        yield started


def count(server: EmbeddedPostgres) -> int:
    with psycopg.connect(server.url()) as connection:
        row = connection.execute("SELECT count(*) FROM kept").fetchone()
    assert row is not None
    return int(row[0])


def keep_a_row(server: EmbeddedPostgres) -> None:
    with psycopg.connect(server.url()) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept (n integer)")
        connection.execute("INSERT INTO kept VALUES (1)")


def test_it_is_15_or_newer_with_the_settings_asked_for(server: EmbeddedPostgres) -> None:
    with psycopg.connect(server.url()) as connection:
        assert connection.info.server_version >= 150000
        assert connection.execute("SHOW fsync").fetchone() == ("off",)


def test_it_listens_on_loopback_with_a_password_only(server: EmbeddedPostgres) -> None:
    with psycopg.connect(server.url()) as connection:
        assert connection.execute("SHOW listen_addresses").fetchone() == ("127.0.0.1",)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(server.url(password="wrong"))
    kept = server.folder / "superuser.password"
    assert kept.stat().st_mode & 0o777 == 0o600


def test_stopped_cleanly_it_keeps_its_rows_and_its_port(server: EmbeddedPostgres) -> None:
    keep_a_row(server)
    port = server.port
    server.stop()
    assert "database system is shut down" in server.log.read_text()
    server.start()
    assert (count(server), server.port) == (1, port)


def test_a_server_killed_with_its_pid_file_left_starts_again(server: EmbeddedPostgres) -> None:
    keep_a_row(server)
    server.kill9()
    assert (server.data / "postmaster.pid").exists()
    server.start()
    assert count(server) == 1


def test_a_stale_pid_file_with_another_programs_pid_blocks_nothing(server: EmbeddedPostgres) -> None:
    server.kill9()
    pid_file = server.data / "postmaster.pid"
    pid_file.write_text("\n".join([str(os.getpid()), *pid_file.read_text().splitlines()[1:]]))
    server.start()
    assert server.pid


def test_a_first_start_killed_half_way_is_begun_again(tmp_path: Path) -> None:
    half_made = tmp_path / "postgres" / "data.new"
    half_made.mkdir(parents=True)
    (half_made / "PG_VERSION").write_text("15\n")
    with EmbeddedPostgres(tmp_path / "postgres", settings=NOT_DURABLE) as server:
        keep_a_row(server)


def test_a_taken_port_gives_another(server: EmbeddedPostgres) -> None:
    server.stop()
    with socket.create_server(("127.0.0.1", server.port)):
        taken = server.port
        server.start()
        assert server.port != taken
        keep_a_row(server)


def test_a_server_whose_parent_is_killed_dies_with_it(tmp_path: Path) -> None:
    parent = python(PARENT, tmp_path / "postgres")
    kill9(parent)
    assert none_left_in(tmp_path / "postgres" / "data", "postgres")
    with EmbeddedPostgres(tmp_path / "postgres") as server:
        keep_a_row(server)


def test_a_server_that_outlived_its_parent_is_ended_by_the_next_start(server: EmbeddedPostgres) -> None:
    keep_a_row(server)
    earlier = server.pid
    os.kill(earlier, signal.SIGSTOP)  # frozen: it did not hear of its parent's death
    server._child = None
    server._claim.release()
    server.start()
    assert not is_running(earlier)
    assert count(server) == 1


def test_a_process_that_only_stands_in_the_folder_is_left_alone(server: EmbeddedPostgres) -> None:
    shell = subprocess.Popen(["sleep", "60"], cwd=server.data)
    server.kill9()
    server.start()
    assert shell.poll() is None
    shell.kill()
    shell.wait()


def test_a_folder_in_use_by_a_live_process_is_refused_by_its_pid(tmp_path: Path) -> None:
    parent = python(PARENT, tmp_path / "postgres")
    try:
        with pytest.raises(ServerRefused, match=f"belong to process {parent.pid}, which is running"):
            EmbeddedPostgres(tmp_path / "postgres").start()
        assert processes_in(tmp_path / "postgres" / "data", ("postgres",))
    finally:
        kill9(parent)


def test_a_wrong_setting_is_refused_with_the_log(tmp_path: Path) -> None:
    with pytest.raises(ServerRefused, match="no_such_setting"):
        EmbeddedPostgres(tmp_path / "postgres", settings={"no_such_setting": "1"}).start()


def test_the_packaged_server_is_used_where_the_machine_has_none(tmp_path: Path) -> None:
    servers = Path(os.environ.get("NSER_HOME", ".nser")).absolute() / "servers"
    binaries = find_postgres(servers, debian=tmp_path / "none", path=str(tmp_path))
    assert binaries.is_relative_to(servers)
    with EmbeddedPostgres(tmp_path / "postgres", binaries=binaries, settings=NOT_DURABLE) as server:
        keep_a_row(server)
        assert count(server) == 1


def test_a_server_on_the_machine_comes_before_the_package(tmp_path: Path) -> None:
    version = tmp_path / "debian" / "16" / "bin"
    old = tmp_path / "debian" / "9.6" / "bin"
    for folder, told in ((version, "16.2"), (old, "9.6.1")):
        folder.mkdir(parents=True)
        for name in ("postgres", "initdb"):
            (folder / name).write_text(f"#!/bin/sh\necho 'postgres (PostgreSQL) {told}'\n")
            (folder / name).chmod(0o755)
    found = find_postgres(tmp_path / "servers", debian=tmp_path / "debian", path=str(tmp_path))
    assert found == version


def test_without_user_namespaces_it_runs_as_nobody_or_as_ourselves_if_not_root() -> None:
    program = """
import sys, tempfile
from pathlib import Path
from lookup_core.embedded import account, postgres
account._works = (lambda before: lambda command: command[0] != "unshare" and before(command))(account._works)
account.account_for_postgres.__kwdefaults__["works"] = account._works
with tempfile.TemporaryDirectory() as name:
    Path(name).chmod(0o755)
    with postgres.EmbeddedPostgres(Path(name) / "postgres") as server:
        uid = Path(f"/proc/{server.pid}").stat().st_uid
        print(uid)
    with postgres.EmbeddedPostgres(Path(name) / "postgres"):
        pass
"""
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert int(told.stdout) == (pwd.getpwnam("nobody").pw_uid if os.getuid() == 0 else os.getuid())


def test_as_root_with_neither_way_the_refusal_says_what_to_do() -> None:
    with pytest.raises(ServerRefused, match="NSER_DATABASE_URL"):
        account_for_postgres(uid=0, works=lambda command: False)


def test_a_user_namespace_is_preferred_as_root_and_nothing_is_needed_otherwise() -> None:
    assert account_for_postgres(uid=0, works=lambda command: True).prefix == NAMESPACE
    assert account_for_postgres(uid=1000).prefix == ()
