"""The body of `add-checkpoint`: old size, consistency proof, and the checkpoint (c2sp.org/tlog-witness)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

from nser_sandbox.witness.notes import Checkpoint, Malformed, Note, decimal, hash_from

LARGEST_BODY: Final = 64 * 1024
MOST_HASHES: Final = 63


@dataclass(frozen=True, slots=True)
class Submission:
    """What a log asks a witness to cosign, taken apart and not yet believed."""

    old_size: int
    proof: tuple[bytes, ...]
    checkpoint: Checkpoint
    note: Note
    note_text: str

    @classmethod
    def parse(cls, body: bytes) -> Self:
        """Read a body. Raises Malformed, which names the part that is wrong."""
        try:
            text = body.decode()
        except UnicodeDecodeError:
            raise Malformed("the body is not UTF-8") from None
        head, blank, note_text = text.partition("\n\n")
        if not blank:
            raise Malformed("the body has no empty line between the proof and the checkpoint")
        first, *hashes = head.split("\n")
        if not first.startswith("old "):
            raise Malformed("the first line is not `old` and a size")
        if len(hashes) > MOST_HASHES:
            raise Malformed(f"the proof has more than {MOST_HASHES} hashes")
        note = Note.parse(note_text)
        return cls(
            old_size=decimal(first.removeprefix("old "), "the old size"),
            proof=tuple(
                hash_from(each, f"hash {number} of the proof") for number, each in enumerate(hashes, 1)
            ),
            checkpoint=Checkpoint.parse(note.text),
            note=note,
            note_text=note_text,
        )
