"""`nser run` as a person has it: started in a home of its own, used by what it printed, stopped, killed, started again.

Every process is stopped by its pid at the end, whatever a test did.
"""

import fcntl
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO

import grpc
import pytest
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from lookup_core.cli.addresses import CLEAR_OFFSET, HIGHEST_OFFSET, PORTS, POSTGRES_PORT, REDIS_PORT
from lookup_core.cli.home import RunHome
from lookup_core.cli.stop import end_leftovers, gone
from nser.lookup.v1 import lookup_pb2

pytestmark = [pytest.mark.timeout(300), pytest.mark.xdist_group("make run")]
NSER = str(Path(sys.executable).with_name("nser"))
READY_S = 90.0


_claims: list[IO[bytes]] = []


def free_offset() -> int:
    """A shift by which every port is free now, lent to no client connection, and left alone by other test runs."""
    ports = [*(port for pair in PORTS.values() for port in pair), POSTGRES_PORT, REDIS_PORT]
    for offset in range(CLEAR_OFFSET, HIGHEST_OFFSET + 1, 37):
        if _is_claimed(offset) and all(_is_free(port + offset) for port in ports):
            return offset
    raise AssertionError("no free range of ports")


def _is_claimed(offset: int) -> bool:
    """Whether `offset` is ours from now on, for as long as this test process lives."""
    try:
        claim = (Path(tempfile.gettempdir()) / f"nser-test-offset-{offset}").open("wb")
    except PermissionError:
        return False  # another user's
    try:
        fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        claim.close()
        return False
    _claims.append(claim)
    return True


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


class System:
    """One `nser run` in a home, and the command beside it."""

    def __init__(self, root: Path, offset: int) -> None:
        self.home = RunHome(root)
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("NSER_")}
        self.environment |= {"NSER_HOME": str(root), "NSER_PORT_OFFSET": str(offset)}
        self.output = root.parent / f"{root.name}.out"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> float:
        """Start it and return the seconds until it said that it is ready."""
        began = time.monotonic()
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [NSER, "run"], stdout=output, stderr=output, env=self.environment, start_new_session=True
            )
        while "is ready after" not in self.printed:
            assert self.process.poll() is None, self.printed
            assert time.monotonic() - began < READY_S, self.printed
            time.sleep(0.05)
        return time.monotonic() - began

    @property
    def printed(self) -> str:
        return self.output.read_text(errors="replace")

    def nser(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [NSER, *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
            env={**self.environment, **environment},
        )

    def copied(self, first: str) -> list[str]:
        """A printed line to copy, as a shell would split it."""
        lines = self.printed.replace("\\\n", " ").splitlines()
        return shlex.split(next(line for line in lines if line.strip().startswith(first)))

    def pids(self) -> dict[str, int]:
        return {record.name: record.pid for record in self.home.all() if record.is_alive}

    def end(self) -> None:
        """Whatever the test did: nothing of it runs on."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        end_leftovers(self.home)


@pytest.fixture(scope="module")
def system(tmp_path_factory):
    made = System(tmp_path_factory.mktemp("run") / "home", free_offset())
    try:
        made.start()
        yield made
    finally:
        made.end()


def test_all_is_well_and_every_process_is_shown(system):
    result = system.nser("status", "--json")
    assert result.returncode == 0, result.stdout
    told = json.loads(result.stdout)
    processes = {each["name"]: each for each in told["processes"]}
    assert {"postgres", "redis", "registrar", "replica-1", "replica-2", "bridge"} <= set(processes)
    assert all(each["well"] and each["pid"] > 0 for each in processes.values())
    assert processes["replica-1"]["revision"] == processes["replica-2"]["revision"]
    assert processes["replica-1"]["people"] >= 20
    assert 0 < processes["replica-1"]["lease_ms"] <= 2_000


def test_the_printed_curl_line_works(system):
    result = subprocess.run(system.copied("curl"), capture_output=True, text=True, check=False, timeout=30)
    assert result.returncode == 0, result.stderr
    told = json.loads(result.stdout)
    assert told["outcome"] in ("EXCLUDED", "NOT_EXCLUDED")
    assert told["bst"].startswith("BST-02-")


def test_the_printed_grpcurl_line_works_by_reflection(system):
    """What grpcurl does with the line, by the same means: reflection, JSON in, JSON out."""
    from google.protobuf import descriptor_pool, json_format, message_factory

    words = system.copied("grpcurl")
    (name, value), body = words[words.index("-H") + 1].split(": "), words[words.index("-d") + 1]
    address, (service, method) = words[-2], words[-1].split("/")
    with grpc.insecure_channel(address) as channel:
        pool = descriptor_pool.DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
        found = pool.FindServiceByName(service).FindMethodByName(method)
        asked = json_format.Parse(body, message_factory.GetMessageClass(found.input_type)())
        call = channel.unary_unary(
            f"/{service}/{method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=lookup_pb2.CheckResponse.FromString,
        )
        answer = call(asked, metadata=((name, value),), timeout=5).answer
    assert answer.outcome in (lookup_pb2.OUTCOME_EXCLUDED, lookup_pb2.OUTCOME_NOT_EXCLUDED)


def test_a_person_who_registered_is_excluded_on_every_replica(system):
    phone, number = "0722000111", "23456781"
    assert system.nser("check", phone, "--id", number, "--everywhere").returncode == 0
    done = system.nser(
        "register", phone, "--id", number, "--dob", "1990-05-17", "--period", "6_months", "--json"
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["status"], told["period"]) == ("active", "6_months")
    checked = system.nser("check", phone, "--id", number, "--everywhere", "--json")
    assert checked.returncode == 10
    answers = json.loads(checked.stdout)["answers"]
    assert [(each["outcome"], each["basis"], each["bst"]) for each in answers] == [
        ("EXCLUDED", "DOCUMENT", told["bst"])
    ] * 2
    assert system.nser("check", phone).returncode == 10
    assert system.nser("check", "--bst", told["bst"]).returncode == 10
    again = system.nser(
        *("register", phone, "--id", number, "--dob", "1990-05-17", "--period", "6_months", "--json"),
        *("--request-id", told["request_id"]),
    )
    assert json.loads(again.stdout)["id"] == told["id"]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("check", "0150123456"), 2, "not a Kenyan mobile number"),
        (("check", "0712345678", "--id", "12"), 2, "6 to 9 digits"),
        (("check", "--bst", "BST-02-1"), 2, "not a BST"),
        (("register", "0712345678", "--period", "1_year"), 2, "document"),
        (
            ("register", "0712345678", "--period", "1_year", "--id", "12345678", "--dob", "2090-02-30"),
            2,
            "date of birth",
        ),
        (("api-keys", "revoke", "aaaaaaaaaaaaaaaa"), 4, "no API key with this id"),
    ],
)
def test_bad_input_is_told_in_one_sentence(system, arguments, code, said):
    result = system.nser(*arguments)
    assert (result.returncode, said in result.stderr) == (code, True), result.stderr
    assert "Traceback" not in result.stderr


def test_a_new_key_works_at_once_and_a_revoked_one_no_more(system):
    made = system.nser("api-keys", "create", "--operator", "Test Bets", "--limit", "5", "--json")
    assert made.returncode == 0, made.stderr
    key = json.loads(made.stdout)
    assert (key["operator"], key["requests_per_second"]) == ("Test Bets", 5)
    assert system.nser("check", "0733000000", NSER_API_KEY=key["secret"]).returncode == 0
    assert (
        system.nser("register", "0733000000", "--period", "24_hours", NSER_ADMIN_KEY=key["secret"]).returncode
        == 5
    )
    assert system.nser("api-keys", "revoke", key["key_id"]).returncode == 0
    refused = system.nser("check", "0733000000", NSER_API_KEY=key["secret"])
    assert (refused.returncode, key["secret"] in refused.stderr) == (5, False)


def test_seeding_twice_enters_people_once(system):
    first = system.nser("seed", "--people", "30", "--excluded-share", "0.2", "--seed", "5", "--json")
    assert first.returncode == 0, first.stderr
    before = json.loads(system.nser("status", "--json").stdout)
    assert system.nser("seed", "--people", "30", "--excluded-share", "0.2", "--seed", "5").returncode == 0
    after = json.loads(system.nser("status", "--json").stdout)
    counts = [
        [each["people"] for each in told["processes"] if each["name"].startswith("replica")]
        for told in (before, after)
    ]
    assert counts[0] == counts[1]


def test_bulk_seeding_reaches_the_replicas_that_run(system):
    done = system.nser("seed", "--people", "3000", "--seed", "6", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["people"], told["bulk"]) == (3_000, True)
    processes = json.loads(system.nser("status", "--json").stdout)["processes"]
    assert all(each["people"] >= 3_000 for each in processes if each["name"].startswith("replica"))


def test_a_second_run_in_the_same_home_is_refused(system):
    refused = system.nser("run")
    assert refused.returncode == 4
    assert "already" in refused.stderr
    assert str(system.process.pid) in refused.stderr
    assert system.nser("status").returncode == 0


def test_a_taken_port_is_named_in_another_home(system, tmp_path):
    refused = system.nser("run", NSER_HOME=str(tmp_path / "other"))
    assert refused.returncode == 3
    assert re.search(r"Port \d+, which registrar needs, is taken.*NSER_PORT_OFFSET", refused.stderr)


def test_secrets_are_their_owners_alone(system):
    files = [*system.home.secrets.iterdir(), system.home.demo_env]
    assert {path.stat().st_mode & 0o077 for path in files} == {0}
    key = system.home.demo()["NSER_ADMIN_KEY"]
    assert not any(key in path.read_text() for path in system.home.logs.iterdir())


def test_no_process_can_read_what_it_should_not_have(system):
    """The environment of each process, as the kernel has it."""
    seen = {name: Path(f"/proc/{pid}/environ").read_text() for name, pid in system.pids().items()}
    assert str(system.home.keyring) in seen["registrar"]
    for name in ("replica-1", "replica-2", "bridge"):
        assert str(system.home.keyring) not in seen[name]
        assert "nser_registrar" not in seen[name]


def test_two_systems_run_side_by_side_and_survive_what_befalls_them(tmp_path):
    """In one home: started, a replica killed, the run itself killed, started again, stopped from elsewhere."""
    other = System(tmp_path / "home", free_offset())
    try:
        print(f"first start: {other.start():.1f} s")
        key = other.home.demo()["NSER_API_KEY"]
        person = ("--id", "34567812", "--dob", "1980-01-01", "--period", "permanent")
        assert other.nser("register", "0711111111", *person).returncode == 0

        for name in ("replica-1", "registrar", "redis", "postgres"):
            killed = other.pids()[name]
            os.kill(killed, signal.SIGKILL)
            deadline = time.monotonic() + 60
            while other.nser("status").returncode != 0 or other.pids().get(name) == killed:
                assert time.monotonic() < deadline, other.nser("status").stdout
            assert other.nser("check", "0711111111", "--everywhere").returncode == 10

        records = [record for record in other.home.all() if record.is_alive]
        other.process.kill()
        other.process.wait()
        assert gone(records, 30), [record for record in records if record.is_alive]
        assert other.nser("status").returncode == 3

        print(f"second start, after the run was killed: {other.start():.1f} s (promised: 15 s)")
        assert other.home.demo()["NSER_API_KEY"] == key
        assert other.nser("check", "0711111111", "--everywhere").returncode == 10

        records = [record for record in other.home.all() if record.is_alive]
        assert other.nser("stop").returncode == 0
        assert other.process.wait(10) == 0
        assert gone(records, 0.5)
        assert other.nser("status").returncode == 3
    finally:
        other.end()


def test_ctrl_c_while_it_starts_leaves_nothing(tmp_path):
    other = System(tmp_path / "home", free_offset())
    with other.output.open("wb") as output:
        other.process = subprocess.Popen(
            # A shell's background job ignores Ctrl-C, and so would what we start from one.
            ["env", "--default-signal=INT", NSER, "run"],
            stdout=output,
            stderr=output,
            env=other.environment,
        )
    try:
        deadline = time.monotonic() + 30
        while not other.pids():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        records = list(other.home.all())
        other.process.send_signal(signal.SIGINT)
        other.process.wait(60)
        assert gone(records, 5)
        assert not other.pids()
    finally:
        other.end()
