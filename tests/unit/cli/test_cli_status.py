"""What `nser status` sees: alive, well, silent, down; and that one thing down is exit code 3."""

import http.server
import json
import os
import threading

import pytest

from lookup_core.cli.home import RUN, Record

FOLLOWING = {"phase": "following", "revision": 12345, "lease_ms": 1800, "people": 1000, "excluded": 50}


@pytest.fixture
def telling():
    """A process's metrics page on a free port."""
    servers = []

    def tell(body):
        class Page(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.end_headers()
                self.wfile.write(body if isinstance(body, bytes) else json.dumps(body).encode())

            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        servers.append(server)
        return f"127.0.0.1:{server.server_port}"

    yield tell
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def running(home, telling):
    """A system of this home whose processes say what the test wants."""
    home.write(Record.of(RUN, os.getpid()))

    def run(**processes):
        for name, body in processes.items():
            home.write(
                Record.of(name.replace("_", "-"), os.getpid(), address="127.0.0.1:1", metrics=telling(body))
            )

    return run


def test_all_well_is_exit_code_0_and_a_line_for_each_process(nser, running):
    running(replica_1=FOLLOWING, bridge={"phase": "ready"})
    result = nser("status")
    assert result.exit_code == 0
    line = next(line for line in result.stdout.splitlines() if "replica-1" in line)
    assert line.split()[2:] == ["following", "127.0.0.1:1", "12,345", "1,800", "ms", "1,000", "50"]


@pytest.mark.parametrize(
    "body",
    [
        {**FOLLOWING, "lease_ms": 0},
        {**FOLLOWING, "phase": "closed"},
        {**FOLLOWING, "phase": "halted"},
        {"phase": "draining"},
        b"not json",
        b"[1]",
    ],
)
def test_a_process_that_does_not_do_its_work_is_not_well(nser, running, body):
    running(replica_1=FOLLOWING, replica_2=body)
    result = nser("status")
    assert result.exit_code == 3
    assert "Not well: replica-2" in result.stdout


def test_a_process_that_is_gone_is_down(nser, running, home):
    running(replica_1=FOLLOWING)
    home.write(Record("replica-2", os.getpid(), 1, "127.0.0.1:2"))
    told = json.loads(nser("status", "--json").stdout)
    assert not told["well"]
    phases = {each["name"]: (each["phase"], each["alive"]) for each in told["processes"]}
    assert phases == {"replica-1": ("following", True), "replica-2": ("down", False)}


def test_json_has_what_each_process_told(nser, running):
    running(replica_1=FOLLOWING)
    (told,) = json.loads(nser("status", "--json").stdout)["processes"]
    assert told["people"] == 1000
    assert told["pid"] == os.getpid()
    assert told["well"] is True
