"""What a witness must never forget: for each log, the newest checkpoint that it cosigned. On disk before it is told.

One folder for each log, named by the SHA-256 of its origin. `newest` is the log's signed note with our cosignature. It
is replaced whole, and synced with its folder, so that after a crash it is the old one or the new one. `forks` holds
pairs of notes by which a log has signed two trees of one size: proof against it that needs nobody's word.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from nser_sandbox.refusal import SetupRefused
from nser_sandbox.witness.consistency import EMPTY_ROOT
from nser_sandbox.witness.notes import Checkpoint, Malformed, Note

_MOST_FORKS: Final = 100


def folder_name(origin: str) -> str:
    """The name by which a log is asked for: the SHA-256 of its origin, in hex."""
    return hashlib.sha256(origin.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Newest:
    """The newest tree of a log that was cosigned; size 0 before the first."""

    size: int = 0
    root: bytes = EMPTY_ROOT
    time: int = 0
    note: str = ""


class StateFolder:
    """The files of one witness, which no second process may have."""

    def __init__(self, path: Path) -> None:
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = (path / "lock").open("wb")
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SetupRefused(
                f"Another witness runs on {path}: two on one state could cosign a fork."
            ) from None
        except OSError as error:
            raise SetupRefused(f"The state folder {path} cannot be used: {error.strerror}.") from None
        self._path = path

    def close(self) -> None:
        self._lock.close()

    def newest(self, origin: str) -> Newest:
        """Read what was kept for a log. Raises SetupRefused for a file that is damaged: to begin anew would forget."""
        file = self._folder(origin) / "newest"
        try:
            kept = file.read_text(encoding="utf-8")
        except FileNotFoundError:
            return Newest()
        except (OSError, ValueError):
            raise SetupRefused(
                f"{file} cannot be read; without it this witness would forget the log."
            ) from None
        try:
            note = Note.parse(kept)
            checkpoint = Checkpoint.parse(note.text)
            if checkpoint.origin != origin:
                raise Malformed("it is another log's")
            time = int.from_bytes(note.signatures[-1][1][4:12], "big")
        except Malformed as malformed:
            raise SetupRefused(f"{file} is damaged: {malformed}. Put it back from a backup.") from None
        return Newest(checkpoint.size, checkpoint.root, time, kept)

    def keep(self, origin: str, note: str) -> None:
        """Put `note` in the place of the newest one. When this returns, it is on disk."""
        folder = self._folder(origin)
        if not folder.exists():
            folder.mkdir(mode=0o700)
            _sync(self._path)
        _write(folder / "newest", note)

    def keep_fork(self, origin: str, one: str, other: str) -> None:
        """Keep two notes of one size with different roots, once, and no more pairs than a folder should hold."""
        folder = self._folder(origin) / "forks"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = folder / f"{hashlib.sha256((one + other).encode()).hexdigest()[:32]}.txt"
        if not file.exists() and len(list(folder.iterdir())) < _MOST_FORKS:
            _write(file, f"{one}\n\n{other}")

    def _folder(self, origin: str) -> Path:
        return self._path / folder_name(origin)


def _write(file: Path, text: str) -> None:
    part = file.with_name(f"{file.name}.part")
    with part.open("w", encoding="utf-8", newline="\n") as written:
        written.write(text)
        written.flush()
        os.fsync(written.fileno())
    part.replace(file)
    _sync(file.parent)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
