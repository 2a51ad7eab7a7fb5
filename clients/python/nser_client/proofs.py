"""What the register signs about its logs, checked on the operator's side with public keys alone.

C2SP signed notes and checkpoints (c2sp.org/signed-note, /tlog-checkpoint, /tlog-cosignature) and the Merkle proofs of
RFC 6962 in the form of RFC 9162, section 2.1. It asks no server and holds no state; `checkpoints` remembers, `receipts`
reads receipts. Needs `cryptography`: pip install 'nser-client[receipts]'.

Everything that does not hold raises ProofRefused. Nothing here says what an entry means, or that a log is complete
beyond the checkpoint it is checked against.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, Self

try:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
except ImportError:
    raise ImportError(
        "Checking proofs and receipts needs the package cryptography: pip install 'nser-client[receipts]'"
    ) from None

HASH_BYTES: Final = 32
MOST_SIGNATURES: Final = 100
LARGEST_SIZE: Final = 2**63 - 1
_SIGNATURE_LINE: Final = "\N{EM DASH} "


class ProofRefused(ValueError):
    """What was shown does not prove what it was shown for; the message says which step failed."""


class SignatureKind(IntEnum):
    """The signature type byte of a key, of those that the register and its witnesses use."""

    NOTE = 0x01
    """The log's own: Ed25519 over the note's text."""
    COSIGNATURE = 0x04
    """A witness's: Ed25519 over the text with the time at which it was seen."""


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A public key with its name, in the text form `<name>+<key id>+<base64>` in which it is published."""

    name: str
    kind: SignatureKind
    public_key: bytes

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the published form. Raises ProofRefused when it is not one, or its key id is not its own."""
        name, _, rest = text.strip().partition("+")
        key_id, _, encoded = rest.partition("+")
        material = _bytes_of(encoded, "the key")
        try:
            kind = SignatureKind(material[0]) if len(material) == HASH_BYTES + 1 else None
        except ValueError:
            kind = None
        if kind is None:
            raise ProofRefused("The key is none of Ed25519: a log's is of type 1, a witness's of type 4.")
        key = cls(_name(name), kind, material[1:])
        if key.key_id.hex() != key_id.lower():
            raise ProofRefused(f"The key of {name} does not match the key id that is written beside it.")
        return key

    @property
    def key_id(self) -> bytes:
        """Four bytes that tell this key from others of its name; no protection by themselves."""
        return hashlib.sha256(self.name.encode() + b"\n" + bytes([self.kind]) + self.public_key).digest()[:4]

    def __str__(self) -> str:
        material = bytes([self.kind]) + self.public_key
        return f"{self.name}+{self.key_id.hex()}+{base64.b64encode(material).decode()}"

    def verify(self, text: str, signature: bytes) -> int | None:
        """Return the time of a cosignature (unix seconds), None for a log's signature. Raises ProofRefused."""
        message, time = text.encode(), None
        if self.kind is SignatureKind.COSIGNATURE:
            time, signature = int.from_bytes(signature[:8]), signature[8:]
            message = f"cosignature/v1\ntime {time}\n".encode() + message
        try:
            Ed25519PublicKey.from_public_bytes(self.public_key).verify(signature, message)
        except InvalidSignature:
            raise ProofRefused(f"The signature of {self.name} is not over this text.") from None
        return time


@dataclass(frozen=True, slots=True)
class Opened:
    """A note whose signatures were checked: its text, and who of the keys given has signed it."""

    text: str
    signers: Mapping[VerifierKey, int | None]
    """A cosignature's time beside its key; None beside a log's."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """How large a log was and what its root was, as its key signed it."""

    origin: str
    size: int
    root: bytes
    note: str
    cosigned: Mapping[str, int]
    """The witnesses that have seen it, by name, and when (unix seconds)."""


# -- notes


def open_note(note: str, *keys: VerifierKey) -> Opened:
    """Return the text of a note that at least one of `keys` has signed.

    Signatures of other keys are ignored. Raises ProofRefused when one of `keys` has signed another text, or none any.
    """
    text, blank, block = note.rpartition("\n\n")
    lines = block.splitlines(keepends=True)
    if not blank or not lines or any(ord(sign) < 0x20 and sign != "\n" for sign in note):
        raise ProofRefused("This is no signed note: a text, an empty line, and signature lines.")
    if len(lines) > MOST_SIGNATURES:
        raise ProofRefused(f"The note has more than {MOST_SIGNATURES} signatures.")
    text += "\n"
    known = {(key.name, key.key_id): key for key in keys}
    signers: dict[VerifierKey, int | None] = {}
    for line in lines:
        name, signature = _signature(line)
        if (key := known.get((name, signature[:4]))) is not None:
            signers[key] = key.verify(text, signature[4:])
    if not signers:
        raise ProofRefused("None of the keys given has signed this note.")
    return Opened(text, signers)


def open_checkpoint(note: str, log: VerifierKey, *witnesses: VerifierKey, quorum: int = 0) -> Checkpoint:
    """Return the checkpoint that `log` has signed, seen by at least `quorum` of `witnesses`. Raises ProofRefused."""
    opened = open_note(note, log, *witnesses)
    if log not in opened.signers:
        raise ProofRefused(f"{log.name} has not signed this checkpoint.")
    cosigned = {key.name: time for key, time in opened.signers.items() if key != log and time is not None}
    if len(cosigned) < quorum:
        raise ProofRefused(f"{len(cosigned)} of the witnesses given have cosigned it, and {quorum} must.")
    origin, size, root = parse_checkpoint(opened.text)
    if origin != log.name:
        raise ProofRefused(f"It is a checkpoint of {origin}, and the key is that of {log.name}.")
    return Checkpoint(origin, size, root, note, cosigned)


def parse_checkpoint(text: str) -> tuple[str, int, bytes]:
    """Return origin, size and root of a checkpoint's text. Raises ProofRefused. Trust it only from an opened note."""
    lines = text.split("\n")
    if len(lines) < 4 or lines[-1] or not all(lines[:-1]):
        raise ProofRefused("A checkpoint has three lines at least: origin, size, root.")
    origin, size, root = lines[:3]
    if not (size.isascii() and size.isdigit()) or size != str(int(size[:20])) or int(size) > LARGEST_SIZE:
        raise ProofRefused("The size of the checkpoint is not a plain decimal number.")
    return origin, int(size), hash_of(root)


def _signature(line: str) -> tuple[str, bytes]:
    """Name and signature (key id first) of one line."""
    name, space, encoded = line.removeprefix(_SIGNATURE_LINE).partition(" ")
    if not (line.startswith(_SIGNATURE_LINE) and space and line.endswith("\n")):
        raise ProofRefused("A line after the note's text is no signature.")
    signature = _bytes_of(encoded[:-1], "a signature")
    if len(signature) < 5:
        raise ProofRefused("A signature of the note is too short.")
    return _name(name), signature


def _name(name: str) -> str:
    if not name or "+" in name or any(sign.isspace() for sign in name):
        raise ProofRefused("A key's name is empty, or has a space or a plus sign in it.")
    return name


def _bytes_of(encoded: str, what: str) -> bytes:
    try:
        return base64.b64decode(encoded.encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error):
        raise ProofRefused(f"The base64 of {what} cannot be read.") from None


def hash_of(encoded: str) -> bytes:
    """Return the 32 bytes of a hash in base64. Raises ProofRefused."""
    decoded = _bytes_of(encoded, "a hash")
    if len(decoded) != HASH_BYTES:
        raise ProofRefused(f"A hash has {HASH_BYTES} bytes, and this has {len(decoded)}.")
    return decoded


# -- Merkle proofs


def leaf_hash(entry: bytes) -> bytes:
    """Return the hash of an entry as a leaf: RFC 6962, section 2.1."""
    return hashlib.sha256(b"\0" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of a node over its two."""
    return hashlib.sha256(b"\1" + left + right).digest()


def root_from_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes:
    """Return the root that `path` leads to from the leaf hash at `index` of `size`: RFC 9162, 2.1.3.2.

    Raises ProofRefused when the path is not as long as this place in a tree of this size has it.
    """
    if not 0 <= index < size:
        raise ProofRefused(f"A tree of {size} entries has none at index {index}.")
    place, last, root = index, size - 1, leaf
    for step in _hashes(path):
        if last == 0:
            raise ProofRefused("The inclusion path is too long.")
        if place & 1 or place == last:
            root = node_hash(step, root)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            root = node_hash(root, step)
        place, last = place >> 1, last >> 1
    if last:
        raise ProofRefused("The inclusion path is too short.")
    return root


def check_inclusion(checkpoint: Checkpoint, entry: bytes, index: int, path: Sequence[bytes]) -> None:
    """Raise ProofRefused unless `entry` stands at `index` in the log of this checkpoint."""
    if root_from_inclusion(leaf_hash(entry), index, checkpoint.size, path) != checkpoint.root:
        raise ProofRefused(f"The entry is not the one at index {index} of {checkpoint.origin}.")


def check_consistency(
    old_size: int, old_root: bytes, new_size: int, new_root: bytes, path: Sequence[bytes]
) -> None:
    """Raise ProofRefused unless the new tree is the old one with entries added: RFC 9162, 2.1.4.2."""
    if not 0 <= old_size <= new_size:
        raise ProofRefused(f"The log went back from {old_size} entries to {new_size}.")
    if old_size in (0, new_size):
        if path:
            raise ProofRefused("Between these two sizes the consistency path must be empty.")
        if old_size and old_root != new_root:
            raise ProofRefused(f"Two different trees have {old_size} entries: the log has forked.")
        return
    steps = _hashes(path)
    if old_size & (old_size - 1) == 0:  # a whole tree: the proof leaves its root out, since we have it
        steps.insert(0, old_root)
    if _consistent_roots(old_size - 1, new_size - 1, steps) != (old_root, new_root):
        raise ProofRefused(f"The log of {new_size} entries does not continue the one of {old_size}.")


def _consistent_roots(place: int, last: int, steps: Sequence[bytes]) -> tuple[bytes, bytes]:
    if not steps:
        raise ProofRefused("The consistency path is empty.")
    while place & 1:
        place, last = place >> 1, last >> 1
    old = new = steps[0]
    for step in steps[1:]:
        if last == 0:
            raise ProofRefused("The consistency path is too long.")
        if place & 1 or place == last:
            old, new = node_hash(step, old), node_hash(step, new)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            new = node_hash(new, step)
        place, last = place >> 1, last >> 1
    if last:
        raise ProofRefused("The consistency path is too short.")
    return old, new


def _hashes(path: Sequence[bytes]) -> list[bytes]:
    if any(len(step) != HASH_BYTES for step in path):
        raise ProofRefused(f"A step of the path is not a hash of {HASH_BYTES} bytes.")
    return list(path)
