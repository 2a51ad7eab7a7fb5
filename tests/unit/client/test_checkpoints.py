"""The SDK's memory of the newest checkpoint: what it takes, what it passes over, and what it refuses for good."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from nser_client.checkpoints import CheckpointMemory, LogForked, LogWentBack
from nser_client.proofs import ProofRefused, VerifierKey
from tests.support.transparency_log import WITNESS, Log, Signer

WITNESS_KEY = Signer("university.example/witness", WITNESS, b"\x21" * 32)


@pytest.fixture
def log() -> Log:
    return Log().grow(40)


@pytest.fixture
def memory(log: Log, tmp_path: Path) -> CheckpointMemory:
    return CheckpointMemory(tmp_path / "newest", VerifierKey.parse(log.signer.verifier_key))


def never(old: int, new: int) -> Sequence[bytes]:
    raise AssertionError(f"no proof is needed from {old} to {new}")


def test_it_holds_nothing_at_first_and_then_what_came(memory: CheckpointMemory, log: Log) -> None:
    assert memory.newest() is None
    assert memory.advance(log.checkpoint(11), never).size == 11
    assert memory.advance(log.checkpoint(29), log.consistency).size == 29
    assert memory.advance(log.checkpoint(29), never).size == 29
    held = memory.newest()
    assert held is not None
    assert held.note == log.checkpoint(29)


def test_an_older_note_of_a_log_that_has_the_rest_is_passed_over(memory: CheckpointMemory, log: Log) -> None:
    memory.advance(log.checkpoint(29), never)
    assert memory.advance(log.checkpoint(11), log.consistency).size == 29
    held = memory.newest()
    assert held is not None
    assert held.size == 29


def test_a_log_that_was_put_back_to_a_backup_is_found_out(memory: CheckpointMemory, log: Log) -> None:
    memory.advance(log.checkpoint(29), never)
    restored = Log(log.signer, log.entries[:20])
    with pytest.raises(LogWentBack, match="had 29 entries, and now shows 20"):
        memory.advance(restored.checkpoint(), restored.consistency)
    rewritten = restored.grow(30, "another")
    with pytest.raises(LogForked, match="had 29 entries, and now shows 50") as found:
        memory.advance(rewritten.checkpoint(), rewritten.consistency)
    kept = found.value.evidence.read_text()
    assert log.checkpoint(29) in kept
    assert rewritten.checkpoint() in kept
    held = memory.newest()
    assert held is not None
    assert held.note == log.checkpoint(29)


def test_two_trees_of_one_size_are_a_fork(memory: CheckpointMemory, log: Log) -> None:
    memory.advance(log.checkpoint(20), never)
    forked = Log(log.signer, log.entries[:19]).grow(1, "another")
    with pytest.raises(LogForked, match="the log has forked"):
        memory.advance(forked.checkpoint(), never)


def test_a_proof_that_cannot_be_had_changes_nothing(memory: CheckpointMemory, log: Log) -> None:
    memory.advance(log.checkpoint(20), never)

    def unreachable(old: int, new: int) -> Sequence[bytes]:
        raise ConnectionError

    with pytest.raises(ConnectionError):
        memory.advance(log.checkpoint(29), unreachable)
    held = memory.newest()
    assert held is not None
    assert held.size == 20


def test_a_note_that_is_not_signed_as_it_must_be_is_refused(log: Log, tmp_path: Path) -> None:
    keys = [VerifierKey.parse(each.verifier_key) for each in (log.signer, WITNESS_KEY)]
    memory = CheckpointMemory(tmp_path / "newest", *keys, quorum=1)
    with pytest.raises(ProofRefused, match="0 of the witnesses"):
        memory.advance(log.checkpoint(20), never)
    assert memory.advance(log.checkpoint(20, WITNESS_KEY), never).cosigned


@pytest.mark.parametrize(
    "damage", [b"", b"\xff\xfe", b"register.example/audit\n20\n"], ids=["empty", "bytes", "cut"]
)
def test_a_damaged_file_is_refused_and_not_begun_anew(
    memory: CheckpointMemory, log: Log, tmp_path: Path, damage: bytes
) -> None:
    memory.advance(log.checkpoint(20), never)
    (tmp_path / "newest").write_bytes(damage)
    with pytest.raises(ProofRefused, match="is damaged"):
        memory.advance(log.checkpoint(29), log.consistency)


def test_the_file_of_another_log_is_refused(log: Log, tmp_path: Path) -> None:
    other = Log(Signer("other.example/log", seed=b"\x31" * 32)).grow(3)
    file = tmp_path / "newest"
    CheckpointMemory(file, VerifierKey.parse(other.signer.verifier_key)).advance(other.checkpoint(), never)
    with pytest.raises(ProofRefused, match="of another log"):
        CheckpointMemory(file, VerifierKey.parse(log.signer.verifier_key)).advance(log.checkpoint(), never)
