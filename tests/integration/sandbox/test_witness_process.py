"""The witness as its party runs it: over HTTP, killed at the worst moment, started with what it must refuse."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest

from nser_client.proofs import VerifierKey, open_checkpoint
from tests.support.transparency_log import Log, Signer, b64
from tests.support.witness_process import ME, WitnessProcess

LOG_KEY = Signer("register.example/audit").verifier_key


@pytest.fixture
def log() -> Log:
    return Log().grow(40)


@pytest.fixture
def forked(log: Log) -> Log:
    """The same log, as someone rewrote it from its tenth entry on."""
    return Log(log.signer, log.entries[:10]).grow(30, "another")


@asynccontextmanager
async def running(folder: Path, *logs: Log, broken: str = "") -> AsyncIterator[WitnessProcess]:
    process = WitnessProcess(folder, *logs, broken=broken)
    try:
        await process.start()
        yield process
    finally:
        await process.end()


async def test_every_answer_has_the_status_and_type_of_the_specification(
    log: Log, forked: Log, tmp_path: Path
) -> None:
    other = Log(Signer("elsewhere.example/log", seed=b"\x31" * 32)).grow(3)
    impostor = Log(Signer(log.signer.name, seed=b"\x32" * 32), log.entries)
    async with running(tmp_path, log) as witness:
        assert (await witness.newest(log)).status_code == 404
        first = await witness.submit(log, 0, 12)
        assert (first.status_code, first.headers["content-type"]) == (200, "text/plain; charset=utf-8")
        note = log.checkpoint(12) + first.text
        keys = VerifierKey.parse(log.signer.verifier_key), VerifierKey.parse(ME.verifier_key)
        assert open_checkpoint(note, *keys, quorum=1).size == 12
        assert (await witness.newest(log)).text == note
        behind = await witness.submit(log, 7, 20)
        assert (behind.status_code, behind.text) == (409, "12\n")
        assert behind.headers["content-type"] == "text/x.tlog.size"
        assert (await witness.submit(other, 0)).status_code == 404
        assert (await witness.submit(impostor, 12, 20)).status_code == 403
        assert (await witness.submit(forked, 12, 20)).status_code == 422
        assert (await witness.submit(forked, 12, 12)).status_code == 409
        assert (await witness.submit(log, 12, 33)).status_code == 200
        assert (await witness.post(b"nothing")).status_code == 400
        assert (await witness.post(b"old 0\n" + b"A" * 70_000)).status_code == 413
        assert (await witness.get("/add-checkpoint")).status_code == 405
        told = (await witness.get("/status")).json()
        assert (told["process"], told["phase"]) == ("witness", "ready")
        assert [(each["origin"], each["size"]) for each in told["logs"]] == [(log.signer.name, 33)]
        witness.terminate()
        assert await witness.ended() == 0
    events = [json.loads(line)["event"] for line in witness.output().splitlines()]
    assert {"process.ready", "checkpoint.cosigned", "log.forked", "log.inconsistent"} <= set(events)


@pytest.mark.parametrize(
    "broken", ["", pytest.param("AnswersBeforeItKeeps", marks=pytest.mark.breaks, id="answers-first")]
)
async def test_after_kill_9_it_cosigns_no_other_tree_of_a_size(
    log: Log, forked: Log, tmp_path: Path, broken: str
) -> None:
    async with running(tmp_path, log, broken=broken) as witness:
        assert (await witness.submit(log, 0, 20)).status_code == 200
        await witness.kill()
        await witness.restart()
        answers = [await witness.submit(forked, 0, 20), await witness.submit(forked, 20, 20)]
    cosigned_both = any(answer.status_code == 200 for answer in answers)
    assert cosigned_both is bool(broken)
    if not broken:
        assert [(answer.status_code, answer.text) for answer in answers] == [(409, "20\n")] * 2


async def test_killed_between_its_state_and_its_answer_it_stands_by_what_it_has_kept(
    log: Log, forked: Log, tmp_path: Path
) -> None:
    async with running(tmp_path, log, broken="DiesBeforeItAnswers") as dying:
        with pytest.raises(httpx2.TransportError):
            await dying.submit(log, 0, 20)
        assert await dying.ended() == -9
    async with running(tmp_path, log) as witness:
        assert (await witness.submit(forked, 0, 20)).text == "20\n"
        assert (await witness.submit(forked, 20, 20)).text == "20\n"
        # The log, which never had the answer, learns the size and gets its cosignature.
        assert (await witness.submit(log, 0, 20)).text == "20\n"
        assert (await witness.submit(log, 20, 20)).status_code == 200
        assert (await witness.submit(log, 20, 33)).status_code == 200


async def test_a_witness_that_died_while_writing_has_the_state_before(log: Log, tmp_path: Path) -> None:
    async with running(tmp_path, log) as witness:
        await witness.submit(log, 0, 20)
        await witness.kill()
        (newest,) = (tmp_path / "state").glob("*/newest")
        newest.with_name("newest.part").write_text(log.checkpoint(33)[:40])
        await witness.restart()
        assert (await witness.submit(log, 20, 33)).status_code == 200


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "nser_sandbox", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_a_key_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "witness.key"
    made = run("witness-key", "--name", "ca.example/witness", "--key-file", str(file))
    assert made.returncode == 0, made.stderr
    assert file.stat().st_mode & 0o777 == 0o600
    assert str(VerifierKey.parse(made.stdout)) == made.stdout.strip()
    again = run("witness-key", "--name", "ca.example/witness", "--key-file", str(file))
    assert again.stdout == made.stdout
    other = run("witness-key", "--name", "other.example/witness", "--key-file", str(file))
    assert (other.returncode, "Nothing was changed" in other.stderr) == (2, True)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"--log-key": "name"}, "--log-key name: "),
        ({"--log-key": f"x{LOG_KEY}"}, "is not that key's"),
        ({"--key-file": "{folder}/absent"}, "cannot be read"),
        ({"--key-file": "{folder}/readable"}, "chmod 600"),
        ({"--key-file": "{folder}/wrong"}, "does not hold a witness's key"),
        ({"--state-dir": "{folder}/wrong"}, "cannot be used"),
        ({"--address": "nowhere"}, "not a host and a port"),
        ({"--address": "203.0.113.1:1"}, "cannot be listened at"),
    ],
    ids=["log-key", "key-id", "absent", "readable", "wrong", "state", "address", "not-ours"],
)
def test_it_refuses_to_start_in_one_sentence(tmp_path: Path, changed: dict[str, str], said: str) -> None:
    secret = f"PRIVATE+KEY+{ME.name}+{ME.key_id.hex()}+{b64(bytes([ME.kind]) + ME.seed)}\n"
    for name, mode, text in (("good", 0o600, secret), ("readable", 0o644, secret), ("wrong", 0o600, "x")):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(mode)
    given = {
        "--log-key": LOG_KEY,
        "--key-file": "{folder}/good",
        "--state-dir": "{folder}/state",
        "--address": "127.0.0.1:0",
        **changed,
    }
    told = [word.format(folder=tmp_path) for pair in given.items() for word in pair]
    refused = run("witness", *told)
    assert refused.returncode == 2
    assert said in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    assert b64(bytes([ME.kind]) + ME.seed) not in refused.stderr
