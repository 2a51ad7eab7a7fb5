"""The decision: whether a checkpoint is cosigned. The order of the checks is that of c2sp.org/tlog-witness.

One log's submissions are decided one after another, from reading the state to keeping it; otherwise an older one that
was checked earlier could be kept over a newer one, and the log's entries between them would be forgotten.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from http import HTTPStatus

import structlog

from nser_sandbox.witness.consistency import is_consistent
from nser_sandbox.witness.notes import LogKey, Malformed, Unsigned, WitnessKey
from nser_sandbox.witness.state import Newest, StateFolder, folder_name
from nser_sandbox.witness.submission import Submission

SIZE_TYPE = "text/x.tlog.size"
TEXT_TYPE = "text/plain; charset=utf-8"
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back to the log: a status, and a text of one type."""

    status: HTTPStatus
    body: str
    content_type: str = TEXT_TYPE


@dataclass(slots=True)
class _Log:
    """One log: its keys, the newest tree of it, and the turn of whoever decides about it."""

    origin: str
    keys: list[LogKey]
    newest: Newest
    turn: threading.Lock = field(default_factory=threading.Lock)


class Witness:
    """Cosigns checkpoints of the logs whose keys it was given, and remembers the newest of each."""

    def __init__(
        self, key: WitnessKey, logs: Iterable[LogKey], state: StateFolder, clock: Callable[[], float]
    ) -> None:
        """Raises SetupRefused when the state of a log cannot be read."""
        self._key = key
        self._state = state
        self._clock = clock
        self._logs: dict[str, _Log] = {}
        for each in logs:
            known = self._logs.setdefault(each.name, _Log(each.name, [], state.newest(each.name)))
            known.keys.append(each)
        self._by_name = {folder_name(origin): known for origin, known in self._logs.items()}

    def add_checkpoint(self, body: bytes) -> Answer:
        """Decide about one submission. Raises OSError when what was decided cannot be kept: then nothing is told."""
        try:
            asked = Submission.parse(body)
        except Malformed as malformed:
            return _refused(HTTPStatus.BAD_REQUEST, f"Malformed: {malformed}.")
        origin, size = asked.checkpoint.origin, asked.checkpoint.size
        known = self._logs.get(origin)
        if known is None:
            return _refused(HTTPStatus.NOT_FOUND, "This witness does not know a log of this origin.")
        try:
            asked.note.check_signed_by(known.keys)
        except Unsigned:
            return _refused(
                HTTPStatus.FORBIDDEN, f"No key of {origin} that this witness trusts has signed this."
            )
        if asked.old_size > size:
            return _refused(
                HTTPStatus.BAD_REQUEST, "Malformed: the old size is larger than the checkpoint's."
            )
        with known.turn:
            return self._decide(known, asked)

    def newest(self, name: str) -> str | None:
        """Return the newest cosigned note of a log, by the SHA-256 of its origin; None when there is none."""
        known = self._by_name.get(name)
        return known.newest.note or None if known is not None else None

    def status(self) -> list[dict[str, object]]:
        """What is known of each log, for those who run the witness."""
        return [
            {"origin": each.origin, "size": each.newest.size, "time": each.newest.time}
            for each in self._logs.values()
        ]

    def _decide(self, known: _Log, asked: Submission) -> Answer:
        newest, new = known.newest, asked.checkpoint
        forked = asked.old_size == new.size == newest.size and new.root != newest.root
        if forked:
            log.error("log.forked", origin=known.origin, size=new.size)
            if newest.note:
                self._state.keep_fork(known.origin, newest.note, asked.note_text)
        if forked or asked.old_size != newest.size:
            # A log that is told the size which it has named itself knows that its root is another.
            return Answer(HTTPStatus.CONFLICT, f"{newest.size}\n", SIZE_TYPE)
        if not is_consistent((newest.size, newest.root), (new.size, new.root), asked.proof):
            log.error("log.inconsistent", origin=known.origin, old_size=newest.size, size=new.size)
            return _refused(
                HTTPStatus.UNPROCESSABLE_ENTITY,
                f"The proof does not show that the tree of {new.size} entries begins with that of {newest.size}.",
            )
        return self._cosign(known, asked)

    def _cosign(self, known: _Log, asked: Submission) -> Answer:
        time = max(
            int(self._clock()), known.newest.time
        )  # a clock put back must not date it before the last one
        line = self._key.cosign(asked.note.text, time)
        note = f"{asked.note.text}\n{self._log_lines(known, asked)}{line}"
        self._state.keep(known.origin, note)
        known.newest = Newest(asked.checkpoint.size, asked.checkpoint.root, time, note)
        log.info("checkpoint.cosigned", origin=known.origin, size=asked.checkpoint.size)
        return Answer(HTTPStatus.OK, line)

    @staticmethod
    def _log_lines(known: _Log, asked: Submission) -> str:
        """The log's own signature lines; what others signed is theirs to keep."""
        ours = {(key.name, key.key_id) for key in known.keys}
        lines = asked.note_text.rpartition("\n\n")[2][:-1].split("\n")
        signed = zip(asked.note.signatures, lines, strict=True)
        return "".join(f"{line}\n" for (name, signature), line in signed if (name, signature[:4]) in ours)


def _refused(status: HTTPStatus, sentence: str) -> Answer:
    log.warning("checkpoint.refused", status=int(status), why=sentence)
    return Answer(status, f"{sentence}\n")
