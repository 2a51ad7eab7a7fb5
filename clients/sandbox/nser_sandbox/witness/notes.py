"""Signed notes, keys and checkpoints: c2sp.org/signed-note, /tlog-checkpoint and /tlog-cosignature. Ed25519 alone.

A signature under a key that is not ours to know is passed over; a false one under a key that is refuses the note.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

LOG_KEY: Final = 0x01
WITNESS_KEY: Final = 0x04
HASH_BYTES: Final = 32
_PRIVATE: Final = "PRIVATE+KEY+"
_NAME: Final = re.compile(r"[^\s+]+")
_DECIMAL: Final = re.compile(r"0|[1-9][0-9]{0,18}")
_CONTROL: Final = re.compile(r"[\x00-\x09\x0b-\x1f]")
_MOST_SIGNATURES: Final = 100


class Malformed(ValueError):
    """A text that is not what its format says; the message names what is wrong."""


class Unsigned(Exception):
    """No signature of the note is a good one of a key that was asked for."""


@dataclass(frozen=True, slots=True)
class LogKey:
    """A log's public key and its name, which is the origin of its checkpoints."""

    name: str
    public_key: bytes

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `<name>+<key id>+<base64>`. Raises Malformed."""
        name, _, rest = text.strip().partition("+")
        key_id, _, encoded = rest.partition("+")
        material = from_base64(encoded, "the key")
        if _NAME.fullmatch(name) is None or len(material) != 1 + HASH_BYTES or material[0] != LOG_KEY:
            raise Malformed("a log's key is written <name>+<key id>+<base64>, and is of type 1 (Ed25519)")
        key = cls(name, material[1:])
        if key.key_id.hex() != key_id.lower():
            raise Malformed(f"the key id that is written with the key of {name} is not that key's")
        return key

    @property
    def key_id(self) -> bytes:
        return key_id_of(self.name, LOG_KEY, self.public_key)

    def has_signed(self, text: str, signature: bytes) -> bool:
        try:
            Ed25519PublicKey.from_public_bytes(self.public_key).verify(signature, text.encode())
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True, slots=True, repr=False)
class WitnessKey:
    """The witness's own key. Its secret is in no text but `secret_text`."""

    name: str
    seed: bytes

    @classmethod
    def create(cls, name: str) -> Self:
        """Make a new one. Raises Malformed for a name that no key can have."""
        if _NAME.fullmatch(name) is None:
            raise Malformed("a witness's name is not empty, and has no blank and no plus sign in it")
        return cls(name, Ed25519PrivateKey.generate().private_bytes_raw())

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what `secret_text` wrote. Raises Malformed, which repeats nothing of it."""
        name, _, rest = text.strip().removeprefix(_PRIVATE).partition("+")
        key_id, _, encoded = rest.partition("+")
        material = from_base64(encoded, "the secret key")
        if not text.startswith(_PRIVATE) or len(material) != 1 + HASH_BYTES or material[0] != WITNESS_KEY:
            raise Malformed("it does not hold a witness's key")
        key = cls(name, material[1:])
        if key.key_id.hex() != key_id:
            raise Malformed("its key id is not that of its key")
        return key

    @property
    def secret_text(self) -> str:
        encoded = to_base64(bytes([WITNESS_KEY]) + self.seed)
        return f"{_PRIVATE}{self.name}+{self.key_id.hex()}+{encoded}\n"

    @property
    def verifier_key(self) -> str:
        """What is published, for those who check this witness's cosignatures."""
        return f"{self.name}+{self.key_id.hex()}+{to_base64(bytes([WITNESS_KEY]) + self._public)}"

    @property
    def key_id(self) -> bytes:
        return key_id_of(self.name, WITNESS_KEY, self._public)

    @property
    def _public(self) -> bytes:
        return self._private.public_key().public_bytes_raw()

    @property
    def _private(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(self.seed)

    def cosign(self, text: str, time: int) -> str:
        """Return the signature line that says: at `time` (unix seconds), this was the largest tree that we saw."""
        signature = self._private.sign(f"cosignature/v1\ntime {time}\n{text}".encode())
        return f"— {self.name} {to_base64(self.key_id + time.to_bytes(8, 'big') + signature)}\n"


@dataclass(frozen=True, slots=True)
class Note:
    """A text and the signatures under it, not yet checked."""

    text: str
    signatures: tuple[tuple[str, bytes], ...]
    """Name, and key id with signature."""

    @classmethod
    def parse(cls, note: str) -> Self:
        """Take a note apart. Raises Malformed."""
        text, blank, block = note.rpartition("\n\n")
        if not blank or not block:
            raise Malformed("the checkpoint is no signed note: it has no empty line before its signatures")
        if _CONTROL.search(note):
            raise Malformed("the checkpoint has a control character in it")
        if not block.endswith("\n"):
            raise Malformed("the last signature line does not end in a newline")
        lines = block[:-1].split("\n")
        if len(lines) > _MOST_SIGNATURES:
            raise Malformed(f"the checkpoint has more than {_MOST_SIGNATURES} signatures")
        return cls(f"{text}\n", tuple(map(_signature, lines)))

    def check_signed_by(self, keys: Iterable[LogKey]) -> None:
        """Raise Unsigned unless one of `keys` signed the text, and none of them falsely."""
        known = {(key.name, key.key_id): key for key in keys}
        checked = [
            known[name, signature[:4]].has_signed(self.text, signature[4:])
            for name, signature in self.signatures
            if (name, signature[:4]) in known
        ]
        if not checked or not all(checked):
            raise Unsigned


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a log says of itself: which one, how many entries, the root over them."""

    origin: str
    size: int
    root: bytes

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a checkpoint's text. Raises Malformed."""
        lines = text.split("\n")[:-1]
        if len(lines) < 3 or not all(lines):
            raise Malformed("the checkpoint does not have the three lines origin, size and root")
        return cls(lines[0], decimal(lines[1], "the checkpoint's size"), hash_from(lines[2], "the root"))


def key_id_of(name: str, kind: int, public_key: bytes) -> bytes:
    return hashlib.sha256(name.encode() + b"\n" + bytes([kind]) + public_key).digest()[:4]


def _signature(line: str) -> tuple[str, bytes]:
    dash, _, rest = line.partition(" ")
    name, _, encoded = rest.partition(" ")
    if dash != "—" or _NAME.fullmatch(name) is None:
        raise Malformed("a line below the checkpoint is no signature line")
    signature = from_base64(encoded, "a signature")
    if len(signature) < 5:
        raise Malformed("a signature is too short")
    return name, signature


def decimal(text: str, what: str) -> int:
    """Read a size. Raises Malformed for anything but plain digits without leading zeros."""
    if _DECIMAL.fullmatch(text) is None or int(text) >= 2**63:
        raise Malformed(f"{what} is not a plain decimal number below 2^63")
    return int(text)


def hash_from(encoded: str, what: str) -> bytes:
    """Read a hash in base64. Raises Malformed."""
    decoded = from_base64(encoded, what)
    if len(decoded) != HASH_BYTES:
        raise Malformed(f"{what} is not a hash of {HASH_BYTES} bytes")
    return decoded


def to_base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def from_base64(encoded: str, what: str) -> bytes:
    """Read base64, of which there is one form for each value. Raises Malformed."""
    try:
        decoded = base64.b64decode(encoded.encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error):
        decoded = b""
    if to_base64(decoded) != encoded:
        raise Malformed(f"the base64 of {what} cannot be read")
    return decoded
