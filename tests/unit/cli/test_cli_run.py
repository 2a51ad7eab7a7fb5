"""What a run gives its processes, what it prints, and what it refuses before it starts anything."""

import shlex
import socket
import sys

import pytest
from honcho.printer import Message

from lookup_core.cli.exits import CommandFailed
from lookup_core.cli.home import CHECKOUT
from lookup_core.cli.running import banner
from lookup_core.cli.running.keys import demo_keys, ring_of
from lookup_core.cli.running.processes import (
    PROCFILE,
    Wiring,
    held_ports,
    hold,
    prepared,
    procfile,
    refuse_missing_packages,
)
from lookup_core.cli.running.supervisor import Quiet, loud_part
from lookup_core.cli.running.witness import log_keys, verifier_key_of
from lookup_core.kernel import apikey
from lookup_core.kernel.keyring import KeyRing
from lookup_core.kernel.notes import COSIGNATURE_V1, Signer, Verifier


@pytest.fixture
def processes(home, monkeypatch):
    monkeypatch.setenv("NSER_PORT_OFFSET", "40")
    monkeypatch.setenv("NSER_DATABASE_URL", "postgresql://owner:secret@127.0.0.1/nser")
    monkeypatch.setenv("NSER_ADMIN_KEY", "nser_demo_admin")
    wiring = Wiring(
        home,
        "postgresql://nser_registrar@h/d",
        "postgresql://nser_replica@h/d",
        "redis://r",
        audit_log_keys="log+00+key",
        witness_key="witness+00+key",
    )
    return {process.name: process for process in prepared(wiring)}


def test_every_process_of_the_procfile_has_an_environment(processes):
    assert list(processes) == list(procfile())
    for name, line in procfile().items():
        assert processes[name].command.endswith(line)


def test_no_process_gets_the_owners_url_or_the_admin_key(processes):
    for process in processes.values():
        told = " ".join(process.environment.values())
        assert "owner:secret" not in told
        assert "nser_demo_admin" not in told


def test_each_process_gets_its_own_role_and_key_file_alone(processes, home):
    registrar, replica, bridge = (
        processes[name].environment for name in ("registrar", "replica-1", "bridge")
    )
    assert "nser_registrar" in registrar["NSER_REGISTRAR_DATABASE_URL"]
    assert registrar["NSER_KEYRING_FILE"] == str(home.keyring)
    assert registrar["NSER_AUDIT_WITNESS_URL"] == f"http://{processes['witness'].address}"
    assert registrar["NSER_AUDIT_WITNESS_KEY"] == "witness+00+key"
    assert not any("nser_registrar" in value or value == str(home.keyring) for value in replica.values())
    assert "nser_replica" in replica["NSER_REPLICA_DATABASE_URL"]
    assert not any(
        word in value
        for word in ("postgresql", "replica-keys", "keyring", "redis")
        for value in bridge.values()
    )


def test_the_bridge_is_told_where_the_servers_are(processes):
    bridge = processes["bridge"].environment
    assert bridge["NSER_REPLICA_ADDRESSES"] == "127.0.0.1:50091,127.0.0.1:50101"
    assert bridge["NSER_REGISTRAR_ADDRESS"] == "127.0.0.1:50092"


def test_the_witness_gets_its_own_folder_and_the_logs_public_keys_alone(processes, home):
    witness = processes["witness"].environment
    assert witness["NSER_WITNESS_ADDRESS"] == processes["witness"].metrics == "127.0.0.1:8126"
    assert witness["NSER_WITNESS_LOG_KEYS"] == "log+00+key"
    assert witness["NSER_WITNESS_STATE_DIR"].startswith(str(home.witness))
    assert not any("postgresql" in value or str(home.secrets) in value for value in witness.values())


def test_the_witness_is_told_the_keys_of_every_version_that_the_log_signed_with(home):
    ring = KeyRing.create()
    told = log_keys(ring, "nser/a").split()
    assert told == [Signer("nser/a", ring.audit_signing.current).verifier.text]


def test_the_key_of_the_homes_witness_is_made_once_and_its_secret_stays_with_it(home):
    key = verifier_key_of(home)
    assert Verifier.parse(key).algorithm == COSIGNATURE_V1
    assert verifier_key_of(home) == key
    assert (home.witness / "key").stat().st_mode & 0o777 == 0o600


def test_no_two_replicas_share_an_address_or_a_high_water_file(processes):
    one, two = processes["replica-1"].environment, processes["replica-2"].environment
    for name in ("NSER_REPLICA_ADDRESS", "NSER_REPLICA_METRICS_ADDRESS", "NSER_REPLICA_HIGHWATER_FILE"):
        assert one[name] != two[name]


def test_a_taken_port_is_named_with_the_way_out(monkeypatch):
    monkeypatch.setenv("NSER_PORT_OFFSET", "3210")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 8080 + 3210))
        taken.listen()
        said = r"Port 11290, which bridge needs.*NSER_PORT_OFFSET"
        with pytest.raises(CommandFailed, match=said) as refused, held_ports(["bridge"]):
            pass
    assert refused.value.attempt == "NSER_PORT_OFFSET=11000 make run"


def test_a_port_that_is_held_is_its_processs_and_nobody_elses():
    with hold("bridge", "127.0.0.1:0") as held:
        address = held.getsockname()
        with socket.socket() as client, pytest.raises(OSError, match="in use"):
            client.bind(address)  # as the system would for a client connection
        with socket.create_server(address), pytest.raises(CommandFailed, match="taken by another program"):
            hold("bridge", f"127.0.0.1:{address[1]}")
    with socket.socket() as client:
        client.bind(address)


def test_demo_keys_are_made_once_and_kept_for_their_owner_alone(home):
    values, keys = demo_keys(home)
    again, _ = demo_keys(home)
    assert values == again == home.demo()
    assert home.demo_env.stat().st_mode & 0o777 == 0o600
    assert [apikey.parse(key.text) for key in keys]


def test_an_admin_key_of_the_environment_is_taken_and_a_malformed_one_refused(home, monkeypatch):
    given = apikey.issue("demo").secret
    monkeypatch.setenv("NSER_ADMIN_KEY", given)
    assert demo_keys(home)[0]["NSER_ADMIN_KEY"] == given
    monkeypatch.setenv("NSER_ADMIN_KEY", "admin")
    with pytest.raises(CommandFailed, match="NSER_ADMIN_KEY"):
        demo_keys(home)
    assert home.demo()["NSER_ADMIN_KEY"] == given


def test_a_lost_key_ring_is_not_replaced_under_existing_data(home):
    home.secrets.mkdir()
    ring_of(home)
    demo_keys(home)
    assert ring_of(home) is not None
    home.keyring.unlink()
    with pytest.raises(CommandFailed, match="is gone"):
        ring_of(home)


def test_the_banner_has_lines_to_copy(home, processes):
    home.demo_env.write_text("NSER_API_KEY=nser_demo_x\n")
    shown = banner.text(home, list(processes.values()), 4.2)
    assert "http://127.0.0.1:8120" in shown
    assert "nser.lookup.v1.LookupService/Check" in shown
    copied = shlex.split(shown[shown.index("curl -s") : shown.index("grpcurl")].replace("\\\n", " "))
    assert copied[copied.index("-d") + 1].startswith("{")


def test_only_what_is_loud_reaches_the_terminal():
    assert (
        loud_part('{"level": "warning", "event": "lease.lapsed", "age_ms": 3}')
        == "warning lease.lapsed age_ms=3"
    )
    assert loud_part("Traceback (most recent call last):\n") == "Traceback (most recent call last):"
    assert loud_part('{"level": "info", "event": "replica.loaded"}') == ""
    assert loud_part("") == ""


def test_the_same_warning_is_shown_once_and_logged_every_time(tmp_path):
    shown, log = [], tmp_path / "replica-1.log"
    quiet = Quiet({"replica-1": log}, shown.append, everything=False)
    for number in range(5):
        line = f'{{"level": "warning", "event": "feed.lost", "timestamp": "{number}"}}'
        quiet.write(Message("line", line.encode(), None, "replica-1", None))
    quiet.close()
    assert shown == ["replica-1 | warning feed.lost"]
    assert len(log.read_text().splitlines()) == 5


def test_the_procfile_of_the_checkout_is_the_one_that_is_installed():
    assert (CHECKOUT / "Procfile").resolve() == PROCFILE


def test_outside_a_checkout_the_command_is_the_installed_one(home, processes, monkeypatch, tmp_path):
    home.demo_env.write_text("NSER_API_KEY=nser_demo_x\n")
    assert ".venv/bin/nser status" in banner.text(home, list(processes.values()), 4.2)
    monkeypatch.setattr("lookup_core.cli.home.CHECKOUT", tmp_path)
    shown = banner.text(home, list(processes.values()), 4.2)
    assert f"NSER_HOME={home.root} " in shown
    assert ".venv/bin" not in shown


@pytest.mark.parametrize(
    ("module", "package"), [("nser_bridge", "nser-bridge"), ("nser_sandbox", "nser-sandbox")]
)
def test_a_run_without_a_server_of_its_own_package_is_refused_with_what_to_install(
    monkeypatch, module, package
):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(CommandFailed, match=package) as refused:
        refuse_missing_packages()
    assert (
        "pip install ./protos ./clients/python ./clients/bridge ./clients/sandbox ." in refused.value.attempt
    )
