"""Where checkpoints are kept outside the database: a write-once folder, and a witness of another party.

A folder gets a file for each checkpoint, made once and never opened for writing again; what protects it is that it lies
on another machine, or on storage that forbids change. A witness (C2SP tlog-witness) checks by itself that the log only
grew before it cosigns. A bucket with object lock is a third place of the same shape; none is built.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import http.client
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import urlsplit

from lookup_core.audit.folder import newest_in, path_of
from lookup_core.audit.log import Log, LogBroken
from lookup_core.kernel import notes
from lookup_core.kernel.notes import Checkpoint, Verifier

WITNESS_S: Final = 5.0
_LONGEST_ANSWER: Final = 64 * 1024
_TRIES: Final = 3


class PlaceAway(Exception):
    """A place cannot be reached now, or answers what nobody can use. Says what."""


@dataclass(frozen=True, slots=True)
class Published:
    """A checkpoint on its way out."""

    size: int
    note: str

    @property
    def text(self) -> str:
        return notes.parts(self.note)[0]


class Place(Protocol):
    """One place outside. Both methods raise PlaceAway, and LogBroken when the log there is not ours."""

    name: str
    every_s: float

    async def compare(self, log: Log, newest: Published | None) -> None:
        """Hold our log against the newest checkpoint there."""
        ...

    async def publish(self, log: Log, checkpoint: Published) -> str:
        """Take a checkpoint there; gives the line of a cosignature, if that is what the place answers with."""
        ...


@dataclass(slots=True)
class Folder:
    """A folder of checkpoints."""

    path: Path
    verifiers: Sequence[Verifier]
    every_s: float
    name: str = "folder"

    async def compare(self, log: Log, newest: Published | None) -> None:
        try:
            kept = await asyncio.to_thread(newest_in, self.path)
        except OSError as error:
            raise PlaceAway(type(error).__name__) from error
        if kept is None:
            return
        try:
            said = notes.parse_checkpoint(notes.open(kept.note, *self.verifiers))
        except ValueError as error:
            raise LogBroken(f"{kept.where} is not a checkpoint of this log: {error}") from None
        await compare(log, said, kept.where)

    async def publish(self, log: Log, checkpoint: Published) -> str:
        try:
            await asyncio.to_thread(write_once, self.path, checkpoint)
        except OSError as error:
            raise PlaceAway(type(error).__name__) from error
        return ""


async def compare(log: Log, said: Checkpoint, where: str) -> None:
    """Raise LogBroken unless the log begins with what this checkpoint covers."""
    head = await log.head()
    if head.size < said.size:
        raise LogBroken(f"{where} has a checkpoint of {said.size} entries, the store has {head.size}")
    if await log.root(said.size) != said.root:
        raise LogBroken(f"the first {said.size} entries are not those of the checkpoint in {where}")


def write_once(folder: Path, checkpoint: Published) -> None:
    """Make the checkpoint's file, whole or not at all. Raises OSError; that it is there already is none."""
    path = path_of(folder, checkpoint.size)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(f".{os.getpid()}")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o444)
    try:
        os.write(descriptor, checkpoint.note.encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    try:
        with contextlib.suppress(FileExistsError):
            path.hardlink_to(draft)  # fails where the name is taken: never over another file
    finally:
        draft.unlink()


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: str


@dataclass(slots=True)
class Witness:
    """A witness's server. `known` is the size of the newest checkpoint that it has, as far as we know."""

    url: str
    verifier: Verifier
    every_s: float
    known: int = 0
    name: str = field(init=False)

    def __post_init__(self) -> None:
        self.name = f"witness {self.verifier.name}"

    async def compare(self, log: Log, newest: Published | None) -> None:
        """Show it our newest checkpoint. A log without one has nothing that could contradict the witness's."""
        if newest is not None:
            await self.publish(log, newest)

    async def publish(self, log: Log, checkpoint: Published) -> str:
        for _ in range(_TRIES):
            old = min(self.known, checkpoint.size)
            proof = await log.consistency(old, checkpoint.size)
            answer = await asyncio.to_thread(self._post, request_body(old, proof, checkpoint.note))
            if answer.status == 200:
                line = self._cosignature(checkpoint, answer.body)
                self.known = checkpoint.size
                return line
            if answer.status != 409:
                break
            self.known = self._conflict(answer, old, checkpoint)
        if answer.status == 422:
            raise LogBroken(f"{self.name} has seen another log: no proof that ours follows it")
        raise PlaceAway(f"status {answer.status}")

    def _conflict(self, answer: Answer, old: int, checkpoint: Published) -> int:
        """The size that the witness has. Raises LogBroken when ours is not a later one of the same log."""
        text = answer.body.strip()
        if not (text.isascii() and text.isdigit()):
            raise PlaceAway("status 409 without a size")
        known = int(text)
        if known > checkpoint.size:
            raise LogBroken(
                f"{self.name} has seen {known} entries, our newest checkpoint has {checkpoint.size}"
            )
        if known == old:
            raise LogBroken(f"{self.name} has another root for {known} entries")
        return known

    def _cosignature(self, checkpoint: Published, body: str) -> str:
        """The witness's own line of what it answered."""
        for line in body.splitlines(keepends=True):
            with contextlib.suppress(ValueError):
                if notes.cosigned_at(f"{checkpoint.text}\n{line}", self.verifier) is not None:
                    return line
        raise PlaceAway("no cosignature under the witness's key")

    def _post(self, body: bytes) -> Answer:
        url = urlsplit(self.url)
        kind = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
        connection = kind(url.hostname or "", url.port, timeout=WITNESS_S)
        try:
            connection.request("POST", f"{url.path.rstrip('/')}/add-checkpoint", body)
            answered = connection.getresponse()
            return Answer(answered.status, answered.read(_LONGEST_ANSWER).decode("utf-8", "replace"))
        except (OSError, http.client.HTTPException) as error:
            raise PlaceAway(type(error).__name__) from error
        finally:
            connection.close()


def request_body(old: int, proof: Sequence[bytes], note: str) -> bytes:
    """What tlog-witness wants: the old size, the consistency proof, an empty line, the checkpoint."""
    lines = "".join(f"{base64.b64encode(each).decode('ascii')}\n" for each in proof)
    return f"old {old}\n{lines}\n{note}".encode()
