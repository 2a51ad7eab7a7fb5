"""Records of processes, and what follows from them: liveness, addresses, credentials."""

import os

import pytest

from lookup_core.cli import addresses, credentials
from lookup_core.cli.exits import CommandFailed
from lookup_core.cli.home import RUN, Record, home_path


def a_live_record(name, **values):
    return Record.of(name, os.getpid(), **values)


def test_a_process_is_known_by_its_start_time_too(home):
    mine = a_live_record("replica-1")
    assert mine.is_alive
    assert not Record("replica-1", mine.pid, mine.began + 1).is_alive
    assert not Record("replica-1", 2**22 - 1, 1).is_alive


def test_a_record_that_cannot_be_read_counts_for_nothing(home):
    (home.records / "replica-1.json").write_text('{"name": "replica-1", "pid"')
    assert home.read("replica-1") is None
    assert list(home.all()) == []


def test_addresses_come_from_the_environment_then_the_running_system_then_the_defaults(home, monkeypatch):
    monkeypatch.setenv("NSER_PORT_OFFSET", "100")
    assert addresses.replicas() == ["127.0.0.1:50151"]
    assert addresses.registrar() == "127.0.0.1:50152"
    home.write(a_live_record(RUN))
    home.write(a_live_record("registrar", address="127.0.0.1:1"))
    home.write(a_live_record("replica-1", address="127.0.0.1:2"))
    home.write(a_live_record("replica-2", address="127.0.0.1:3"))
    assert addresses.replicas() == ["127.0.0.1:2", "127.0.0.1:3"]
    assert addresses.registrar() == "127.0.0.1:1"
    monkeypatch.setenv("NSER_REPLICA_ADDRESSES", "a:1, b:2")
    monkeypatch.setenv("NSER_REGISTRAR_ADDRESS", "c:3")
    assert addresses.replicas() == ["a:1", "b:2"]
    assert addresses.registrar() == "c:3"


@pytest.mark.parametrize("text", ["-1", "x", "14001", "١٠"])
def test_an_offset_that_is_no_number_of_ports_is_refused(monkeypatch, text):
    monkeypatch.setenv("NSER_PORT_OFFSET", text)
    with pytest.raises(CommandFailed, match="NSER_PORT_OFFSET"):
        addresses.port_offset()


def test_every_port_has_room_for_every_offset():
    highest = max(port for pair in addresses.PORTS.values() for port in pair)
    assert highest + addresses.HIGHEST_OFFSET < 65_536
    # The witness tells its status where it serves.
    ports = [port for pair in addresses.PORTS.values() for port in set(pair)]
    assert len(set(ports)) == len(ports)


@pytest.mark.parametrize(("offset", "another"), [(0, 11_000), (11_000, 11_100), (13_950, 11_000)])
def test_another_offset_is_a_clear_one(monkeypatch, offset, another):
    monkeypatch.setenv("NSER_PORT_OFFSET", str(offset))
    assert addresses.another_offset() == another


def test_a_clear_offset_keeps_every_port_out_of_what_is_lent_to_client_connections():
    ports = [port for pair in addresses.PORTS.values() for port in pair]
    for offset in (addresses.CLEAR_OFFSET, addresses.HIGHEST_OFFSET):
        for port in (*ports, addresses.POSTGRES_PORT, addresses.REDIS_PORT):
            assert not 32_768 <= port + offset <= 60_999


def test_a_key_of_the_environment_comes_before_the_demo_key(home, monkeypatch):
    home.demo_env.write_text("# demo\nNSER_API_KEY=from-demo\nNSER_ADMIN_KEY=admin-demo\n")
    assert credentials.key("NSER_API_KEY", "NSER_ADMIN_KEY") == "from-demo"
    monkeypatch.setenv("NSER_ADMIN_KEY", "from-environment")
    assert credentials.key("NSER_API_KEY", "NSER_ADMIN_KEY") == "from-environment"


def test_the_home_is_the_checkouts_unless_named(home, monkeypatch):
    assert home_path() == home.root
    monkeypatch.delenv("NSER_HOME")
    assert home_path().name == ".nser"
