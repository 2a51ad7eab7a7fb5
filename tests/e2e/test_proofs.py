"""From a registration to what a court verifies: sealed, cosigned by the witness of the run, proved, checked by others.

The commands of the page *Verify a receipt or an entry* are run as they stand there.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import grpc
import pytest

from nser.audit.v1 import audit_pb2, audit_pb2_grpc
from nser_client import Client, Outcome
from nser_client.checkpoints import CheckpointMemory, LogWentBack
from nser_client.proofs import Checkpoint, VerifierKey, open_checkpoint
from tests.e2e.test_docs_snippets import ROOT, snippets
from tests.e2e.test_make_run import System, free_offset

pytestmark = [pytest.mark.timeout(300), pytest.mark.xdist_group("make run")]
PAGE = snippets(ROOT / "docs/how-to/verify-a-proof.md")
WITNESS_PAGE = snippets(ROOT / "docs/how-to/run-a-witness.md")


class Outsider:
    """Somebody who has two public keys and a network: no key ring, no database."""

    def __init__(self, system: System, folder: Path) -> None:
        self.folder = folder
        self._at = {record.name: record.address for record in system.home.all()}
        self.log_key = system.nser("audit", "key").stdout.splitlines()[0]
        self.witness_key = (system.home.witness / "verifier-key").read_text().strip()
        self.keys = VerifierKey.parse(self.log_key), VerifierKey.parse(self.witness_key)
        self._admin = system.home.demo()["NSER_ADMIN_KEY"]
        shutil.copy(ROOT / "clients/verifier/verify_nser.py", folder)

    def newest(self) -> Checkpoint | None:
        """What the witness has seen last of the log."""
        name = sha256(self.keys[0].name.encode()).hexdigest()
        try:
            with urllib.request.urlopen(
                f"http://{self._at['witness']}/checkpoint/{name}", timeout=10
            ) as answer:
                return open_checkpoint(answer.read().decode(), *self.keys, quorum=1)
        except urllib.error.HTTPError:
            return None

    def newest_of(self, size: int) -> Checkpoint:
        """Wait until the witness has cosigned so many entries."""
        deadline = time.monotonic() + 30
        while (seen := self.newest()) is None or seen.size < size:
            assert time.monotonic() < deadline, seen
            time.sleep(0.05)
        return seen

    def ask(self, method: str, **fields: Any) -> Any:
        with grpc.insecure_channel(self._at["registrar"]) as channel:
            stub = audit_pb2_grpc.AuditServiceStub(channel)
            request = getattr(audit_pb2, f"{method}Request")(**fields)
            return getattr(stub, method)(
                request, metadata=[("authorization", f"Bearer {self._admin}")], timeout=10
            )


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    made = System(tmp_path_factory.mktemp("proofs") / "home", free_offset())
    try:
        made.start()
        yield made
    finally:
        made.end()


@pytest.fixture(scope="module")
def outsider(system: System, tmp_path_factory: pytest.TempPathFactory) -> Outsider:
    return Outsider(system, tmp_path_factory.mktemp("outsider"))


def register(system: System, phone: str, number: str) -> None:
    person = ("--id", number, "--dob", "1990-05-17", "--period", "6_months")
    done = system.nser("register", phone, *person)
    assert done.returncode == 0, done.stderr


def test_after_a_registration_the_witness_has_cosigned_a_checkpoint(
    system: System, outsider: Outsider
) -> None:
    before = outsider.newest()
    register(system, "0722000111", "23456781")
    seen = outsider.newest_of(before.size + 1 if before else 1)
    assert set(seen.cosigned) == {outsider.keys[1].name}


def run(snippet_text: str, system: System, outsider: Outsider) -> subprocess.CompletedProcess[str]:
    commands = Path(sys.executable).parent
    environment = {
        **system.environment,
        "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}",
        "LOG_KEY": outsider.log_key,
        "WITNESS_KEY": outsider.witness_key,
        "LOG_NAME": outsider.keys[0].name,
    }
    shifted = snippet_text.replace("127.0.0.1:8086", outsider._at["witness"])
    return subprocess.run(
        ["bash", "-euc", shifted],
        cwd=outsider.folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_the_page_verifies_an_entry_and_the_logs_growth_as_it_says(
    system: System, outsider: Outsider
) -> None:
    assert [snippet.name for snippet in PAGE] == ["ask", "entry", "receipt", "consistency"]
    ask, entry, _, consistency = PAGE
    outsider.newest_of(4)
    asked = run(ask.text, system, outsider)
    assert (asked.returncode, asked.stdout.strip()) == (0, outsider.log_key), asked.stderr
    # The cosignature goes under the note a moment after the checkpoint is made.
    deadline = time.monotonic() + 30
    while (verified := run(entry.text, system, outsider)).returncode and time.monotonic() < deadline:
        run(ask.text, system, outsider)
    assert (verified.returncode, verified.stdout[-9:]) == (0, "VERIFIED\n"), verified.stdout + verified.stderr
    assert "exclusion.created" in verified.stdout
    old = json.loads((outsider.folder / "entry.json").read_text())["checkpoint"]
    register(system, "0722000112", "23456782")
    outsider.newest_of(5)
    proof = outsider.ask("ProveConsistency", old_size=int(old.splitlines()[1]))
    path = [base64.b64encode(each).decode() for each in proof.path]
    shown = {"old": old, "new": proof.checkpoint, "path": path}
    (outsider.folder / "consistency.json").write_text(json.dumps(shown))
    verified = run(consistency.text, system, outsider)
    assert (verified.returncode, verified.stdout[-9:]) == (0, "VERIFIED\n"), verified.stdout + verified.stderr


def test_the_page_verifies_the_receipt_of_a_check(system: System, outsider: Outsider) -> None:
    register(system, "0722000114", "23456784")
    key = system.home.demo()["NSER_API_KEY"]
    at = {record.name: record.address for record in system.home.all()}
    with Client(replicas=[at["replica-1"]], registrar=at["registrar"], api_key=key) as client:
        decision = client.check(phone="0722000114", id_number="23456784")
        assert decision.outcome is Outcome.EXCLUDED
        deadline = time.monotonic() + 90
        while not (found := client.receipts(bst=decision.bst).receipts):
            assert time.monotonic() < deadline
            time.sleep(0.2)
    file = outsider.folder / "receipt.json"
    receipt = found[0]
    outsider.newest_of(int(receipt.checkpoint.splitlines()[1]))
    receipt.save(file)
    verifying = PAGE[2].text
    while (verified := run(verifying, system, outsider)).returncode and time.monotonic() < deadline:
        # Handed out a moment before the witness had signed that checkpoint: the next one has it.
        with Client(replicas=[at["replica-1"]], registrar=at["registrar"], api_key=key) as client:
            client.receipts(bst=decision.bst).receipts[0].save(file)
    assert (verified.returncode, verified.stdout[-9:]) == (0, "VERIFIED\n"), verified.stdout + verified.stderr
    assert "outcome         EXCLUDED\n" in verified.stdout
    assert decision.bst is not None
    assert f"token           {decision.bst[7:39].lower()}\n" in verified.stdout
    file.write_text(file.read_text().replace('"index": 0', '"index": 1', 1))
    refused = run(verifying, system, outsider)
    assert (refused.returncode, "NOT VERIFIED" in refused.stderr) == (1, True)


def test_the_witness_s_page_shows_what_it_has_seen(system: System, outsider: Outsider) -> None:
    key, status, newest = WITNESS_PAGE
    assert (key.name, status.name, newest.name) == ("key", "status", "newest")
    made = run(key.text, system, outsider)
    assert VerifierKey.parse(made.stdout).name == "university.example/nser-witness"
    told = json.loads(run(status.text, system, outsider).stdout)
    assert [each["origin"] for each in told["logs"]] == [outsider.keys[0].name]
    assert open_checkpoint(run(newest.text, system, outsider).stdout, *outsider.keys, quorum=1).size > 0


def test_the_sdk_follows_the_log_over_grpc_and_refuses_one_that_went_back(
    system: System, outsider: Outsider, tmp_path: Path
) -> None:
    memory = CheckpointMemory(tmp_path / "newest", outsider.keys[0])

    def path(old: int, new: int) -> list[bytes]:
        return list(outsider.ask("ProveConsistency", old_size=old, covering=new).path)

    first = memory.advance(outsider.ask("GetCheckpoint").checkpoint, path)
    register(system, "0722000113", "23456783")
    outsider.newest_of(first.size + 1)
    newest = memory.advance(outsider.ask("GetCheckpoint").checkpoint, path)
    assert newest.size > first.size
    # Shown the older note again: the log proves that it still has the rest.
    assert memory.advance(first.note, path).size == newest.size
    with pytest.raises(LogWentBack):
        memory.advance(first.note, lambda old, new: [])
