"""Signed notes and checkpoints, as C2SP specifies them (signed-note, tlog-checkpoint, tlog-cosignature).

A note is text that people can read, and signatures under it. Ed25519 only. A signature by a key that nobody asked about
is passed over, as the specification wants; one that is false under a key we were given refuses the note.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass, field
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from lookup_core.domain.merkle import HASH_BYTES

ED25519: Final = 1
COSIGNATURE_V1: Final = 4
_KEY_BYTES: Final = 32
_ID_BYTES: Final = 4
_TIME_BYTES: Final = 8
_SIGNATURE_BYTES: Final = 64
_MOST_SIGNATURES: Final = 100
_NAME: Final = re.compile(r"[^\s+]+")
_SIZE: Final = re.compile(r"0|[1-9][0-9]{0,18}")
_LONGEST: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Verifier:
    """A public key and the name that it signs under. `text` is its printed form."""

    name: str
    public_key: bytes
    algorithm: int = ED25519
    key_id: bytes = field(init=False)

    def __post_init__(self) -> None:
        if _NAME.fullmatch(self.name) is None:
            raise ValueError("the name of a key is not empty, and has no blank and no plus sign")
        if len(self.public_key) != _KEY_BYTES or self.algorithm not in (ED25519, COSIGNATURE_V1):
            raise ValueError("only Ed25519 keys and their cosignatures are read")
        hashed = hashlib.sha256(self.name.encode() + b"\n" + bytes([self.algorithm]) + self.public_key)
        object.__setattr__(self, "key_id", hashed.digest()[:_ID_BYTES])

    @property
    def text(self) -> str:
        """`name+id+key`, as verifier keys are published."""
        return f"{self.name}+{self.key_id.hex()}+{_base64(bytes([self.algorithm]) + self.public_key)}"

    @classmethod
    def parse(cls, text: str) -> Verifier:
        """Read a verifier key. Raises ValueError."""
        name, _, rest = text.strip().partition("+")
        key_id, _, encoded = rest.partition("+")
        raw = _from_base64(encoded)
        if len(raw) != 1 + _KEY_BYTES:
            raise ValueError("not a verifier key")
        verifier = cls(name, raw[1:], raw[0])
        if verifier.key_id.hex() != key_id:
            raise ValueError("the verifier key's id does not fit its name and key")
        return verifier

    def check(self, text: str, signature: bytes) -> int | None:
        """Raise ValueError for a false signature. Gives when a cosignature says it was made (Unix time)."""
        message, at = text.encode(), None
        if self.algorithm == COSIGNATURE_V1:
            at = int.from_bytes(signature[:_TIME_BYTES], "big")
            message = _cosigned(text, at)
            signature = signature[_TIME_BYTES:]
        try:
            if len(signature) != _SIGNATURE_BYTES:
                raise ValueError("a signature has another length")
            Ed25519PublicKey.from_public_bytes(self.public_key).verify(signature, message)
        except (InvalidSignature, ValueError):
            raise ValueError(f"the signature of {self.name} is false") from None
        return at


@dataclass(frozen=True, slots=True, repr=False)
class Signer:
    """A name and the seed of its key (32 bytes, RFC 8032)."""

    name: str
    seed: bytes

    def __repr__(self) -> str:
        return "[secret]"

    @property
    def verifier(self) -> Verifier:
        return Verifier(self.name, self._key().public_key().public_bytes_raw())

    def line(self, text: str) -> str:
        """The signature's line under a note of this text."""
        return _line(self.verifier, self._key().sign(text.encode()))

    def cosignature(self, text: str, at: int) -> str:
        """The line of a witness, who saw at `at` (Unix time) that this checkpoint follows the ones before it."""
        verifier = Verifier(self.name, self.verifier.public_key, COSIGNATURE_V1)
        return _line(verifier, at.to_bytes(_TIME_BYTES, "big") + self._key().sign(_cosigned(text, at)))

    def _key(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(self.seed)


def sign(text: str, *signers: Signer) -> str:
    """Sign a text, which ends in a line feed. Raises ValueError for a text that cannot be a note."""
    _check_text(text)
    return text + "\n" + "".join(signer.line(text) for signer in signers)


def open(note: str, *verifiers: Verifier) -> str:  # noqa: A001 — the specification's word
    """The text of a note that at least one of these signed, and none of them falsely. Raises ValueError."""
    text, signatures = parts(note)
    found = [_checked(text, signatures, each) for each in verifiers]
    if not any(found):
        raise ValueError("the note has no signature by a key that was asked for")
    return text


def cosigned_at(note: str, witness: Verifier) -> int | None:
    """When this witness says that it cosigned, or None where it did not. Raises ValueError for a false one."""
    text, signatures = parts(note)
    for name, key_id, signature in signatures:
        if (name, key_id) == (witness.name, witness.key_id):
            return witness.check(text, signature)
    return None


def parts(note: str) -> tuple[str, list[tuple[str, bytes, bytes]]]:
    """A note's text, and its signatures unchecked: name, key id, signature. Raises ValueError."""
    if len(note) > _LONGEST:
        raise ValueError("too long for a note")
    text, gap, under = note.rpartition("\n\n")
    if not gap or not under.endswith("\n"):
        raise ValueError("a note has a text, a blank line and signatures")
    text += "\n"
    _check_text(text)
    lines = under[:-1].split("\n")
    if len(lines) > _MOST_SIGNATURES:
        raise ValueError("more signatures than a note may have")
    return text, [_signature(line) for line in lines]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a log says of itself: which log, how many entries, the root over them."""

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        lines = (self.origin, str(self.size), _base64(self.root), *self.extensions)
        return "".join(line + "\n" for line in lines)


def checkpoint_text(origin: str, size: int, root: bytes, *extensions: str) -> str:
    """The text of a checkpoint. Raises ValueError for what would not be read back."""
    text = Checkpoint(origin, size, root, extensions).text
    if parse_checkpoint(text) != Checkpoint(origin, size, root, extensions):
        raise ValueError("not what a checkpoint can say")
    return text


def parse_checkpoint(text: str) -> Checkpoint:
    """Read a checkpoint's text (of a note that was opened). Raises ValueError."""
    if not text.endswith("\n"):
        raise ValueError("a checkpoint's text ends in a line feed")
    origin, *rest = text[:-1].split("\n")
    if len(rest) < 2 or not origin or not all(rest):
        raise ValueError("a checkpoint has an origin, a size and a root")
    if _SIZE.fullmatch(rest[0]) is None:
        raise ValueError("the size of a checkpoint is a plain number")
    root = _from_base64(rest[1])
    if len(root) != HASH_BYTES:
        raise ValueError("the root of a checkpoint has 32 bytes")
    return Checkpoint(origin, int(rest[0]), root, tuple(rest[2:]))


def _checked(text: str, signatures: list[tuple[str, bytes, bytes]], verifier: Verifier) -> bool:
    """Whether this key signed; the first of several signatures counts, as in the specification."""
    for name, key_id, signature in signatures:
        if (name, key_id) == (verifier.name, verifier.key_id):
            verifier.check(text, signature)
            return True
    return False


def _line(verifier: Verifier, signature: bytes) -> str:
    return f"— {verifier.name} {_base64(verifier.key_id + signature)}\n"


def _signature(line: str) -> tuple[str, bytes, bytes]:
    mark, _, rest = line.partition(" ")
    name, _, encoded = rest.partition(" ")
    raw = _from_base64(encoded)
    if mark != "—" or _NAME.fullmatch(name) is None or len(raw) <= _ID_BYTES:
        raise ValueError("not the line of a signature")
    return name, raw[:_ID_BYTES], raw[_ID_BYTES:]


def _cosigned(text: str, at: int) -> bytes:
    return f"cosignature/v1\ntime {at}\n{text}".encode()


def _check_text(text: str) -> None:
    if not text.endswith("\n") or any(each < " " and each != "\n" for each in text):
        raise ValueError("a note's text ends in a line feed and has no control characters")


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")


def _from_base64(text: str) -> bytes:
    """Only the one spelling that bytes have."""
    try:
        raw = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeError, ValueError):
        raise ValueError("not base64") from None
    if _base64(raw) != text:
        raise ValueError("not base64 as it is written")
    return raw
