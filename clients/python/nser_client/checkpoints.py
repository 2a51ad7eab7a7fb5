"""Remembering the newest checkpoint of the register's log, so that a log that goes back or forks is found out.

    memory = CheckpointMemory(Path("nser.checkpoint"), VerifierKey.parse(published_key))
    checkpoint = memory.advance(note, lambda old, new: consistency_path_from_the_register(old, new))

Whoever holds the newest checkpoint can be shown no other past. The file is the caller's to keep; without it, the first
checkpoint that comes is believed, if it is signed. It asks no server itself: the note and the proofs are handed to it.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from nser_client.proofs import Checkpoint, ProofRefused, VerifierKey, check_consistency, open_checkpoint

Proof = Callable[[int, int], Sequence[bytes]]
"""Gives the consistency path between two sizes, the smaller first; raises what the call to the register raises."""


class LogForked(ProofRefused):
    """The log has signed a checkpoint that does not continue the one we hold. Keep both notes: `evidence`."""

    def __init__(self, sentence: str, evidence: Path) -> None:
        super().__init__(f"{sentence} Both signed notes are in {evidence}.")
        self.evidence = evidence


class LogWentBack(LogForked):
    """The log shows fewer entries than it had signed, and no proof that it still has the rest."""


class CheckpointMemory:
    """The newest verified checkpoint of one log, in one file that several processes may share."""

    def __init__(self, file: Path, log: VerifierKey, *witnesses: VerifierKey, quorum: int = 0) -> None:
        """`quorum` of `witnesses` must have cosigned every checkpoint that is taken."""
        self._file = file
        self._log = log
        self._witnesses = witnesses
        self._quorum = quorum

    def newest(self) -> Checkpoint | None:
        """Return what is held. Raises ProofRefused for a file that is not what was written here."""
        try:
            note = self._file.read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        except ValueError:
            raise ProofRefused(f"{self._file} is damaged. Put it back from a backup.") from None
        try:
            return open_checkpoint(note, self._log, *self._witnesses)
        except ProofRefused as refused:
            raise ProofRefused(f"{self._file} is damaged or of another log: {refused}") from None

    def advance(self, note: str, proof: Proof) -> Checkpoint:
        """Take a note that the register gave now, and return the newest checkpoint then known.

        `proof` is called at most once, for a log that has grown or seems to have shrunk. An older note is passed over
        where the log proves that it still has what it signed since. Raises ProofRefused for a note that is not signed
        as it must be, LogWentBack and LogForked for a log that is no longer the one we knew.
        """
        came = open_checkpoint(note, self._log, *self._witnesses, quorum=self._quorum)
        with self._alone():
            held = self.newest()
            if held is not None:
                self._refuse_another_past(held, came, proof)
                if came.size < held.size:
                    return held
            _write(self._file, note)
            return came

    def _refuse_another_past(self, held: Checkpoint, came: Checkpoint, proof: Proof) -> None:
        older, newer = sorted((held, came), key=lambda each: each.size)
        path = proof(older.size, newer.size) if 0 < older.size < newer.size else ()
        try:
            check_consistency(older.size, older.root, newer.size, newer.root, path)
        except ProofRefused as refused:
            kind = LogWentBack if came.size < held.size else LogForked
            raise kind(
                f"{came.origin} had {held.size} entries, and now shows {came.size} that do not fit: {refused}",
                self._keep_evidence(held, came),
            ) from None

    def _keep_evidence(self, held: Checkpoint, came: Checkpoint) -> Path:
        both = f"{held.note}\n\n{came.note}"
        name = f"{self._file.name}.fork-{hashlib.sha256(both.encode()).hexdigest()[:16]}"
        evidence = self._file.with_name(name)
        _write(evidence, both)
        return evidence

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """No other process reads, decides and writes meanwhile: it could put an older checkpoint over a newer one."""
        with self._file.with_name(f"{self._file.name}.lock").open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _write(file: Path, text: str) -> None:
    """Replace a file whole; on disk when this returns."""
    part = file.with_name(f"{file.name}.part")
    with part.open("w", encoding="utf-8", newline="\n") as written:
        written.write(text)
        written.flush()
        os.fsync(written.fileno())
    part.replace(file)
    folder = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
