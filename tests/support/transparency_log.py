"""A transparency log made from the definitions alone, to test every verifier of ours against.

Slow on purpose: roots and proofs are the recursive formulas of RFC 6962, section 2.1, as printed. Notes are signed with
keys made here. It shares no code with the register, the SDK, the witness or the court's verifier.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

LOG, WITNESS = 0x01, 0x04


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def split(n: int) -> int:
    """The largest power of two that is smaller than n."""
    return 1 << (n - 1).bit_length() - 1


def tree_hash(entries: Sequence[bytes]) -> bytes:
    """MTH of the RFC."""
    if not entries:
        return hashlib.sha256().digest()
    if len(entries) == 1:
        return hashlib.sha256(b"\x00" + entries[0]).digest()
    k = split(len(entries))
    return hashlib.sha256(b"\x01" + tree_hash(entries[:k]) + tree_hash(entries[k:])).digest()


def inclusion(m: int, entries: Sequence[bytes]) -> list[bytes]:
    """PATH of the RFC."""
    if len(entries) == 1:
        return []
    k = split(len(entries))
    if m < k:
        return [*inclusion(m, entries[:k]), tree_hash(entries[k:])]
    return [*inclusion(m - k, entries[k:]), tree_hash(entries[:k])]


def consistency(m: int, entries: Sequence[bytes], *, complete: bool = True) -> list[bytes]:
    """PROOF and SUBPROOF of the RFC; empty from nothing."""
    n = len(entries)
    if m in (0, n):
        return [] if complete else [tree_hash(entries)]
    k = split(n)
    if m <= k:
        return [*consistency(m, entries[:k], complete=complete), tree_hash(entries[k:])]
    return [*consistency(m - k, entries[k:], complete=False), tree_hash(entries[:k])]


@dataclass(frozen=True)
class Signer:
    """A named Ed25519 key, and the two kinds of lines that it can sign."""

    name: str
    kind: int = LOG
    seed: bytes = b"\x07" * 32

    @property
    def private(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(self.seed)

    @property
    def material(self) -> bytes:
        return bytes([self.kind]) + self.private.public_key().public_bytes_raw()

    @property
    def key_id(self) -> bytes:
        return hashlib.sha256(self.name.encode() + b"\n" + self.material).digest()[:4]

    @property
    def verifier_key(self) -> str:
        return f"{self.name}+{self.key_id.hex()}+{b64(self.material)}"

    def line(self, text: str, *, time: int = 1_760_000_000) -> str:
        """A signature line over `text`, with the time when this is a witness."""
        if self.kind == LOG:
            signature = self.private.sign(text.encode())
        else:
            message = f"cosignature/v1\ntime {time}\n{text}".encode()
            signature = time.to_bytes(8, "big") + self.private.sign(message)
        return f"— {self.name} {b64(self.key_id + signature)}\n"


@dataclass
class Log:
    """Entries and the key that signs how many there are."""

    signer: Signer = field(default_factory=lambda: Signer("register.example/audit"))
    entries: list[bytes] = field(default_factory=list)

    def grow(self, count: int, word: str = "entry") -> Log:
        """Add `count` entries and return the log."""
        begin = len(self.entries)
        self.entries += [f"{word} {index}".encode() for index in range(begin, begin + count)]
        return self

    def text(self, size: int | None = None) -> str:
        """The checkpoint's text at `size`, by default now."""
        size = len(self.entries) if size is None else size
        return f"{self.signer.name}\n{size}\n{b64(tree_hash(self.entries[:size]))}\n"

    def checkpoint(self, size: int | None = None, *witnesses: Signer) -> str:
        """The signed note, cosigned by `witnesses`."""
        text = self.text(size)
        return text + "\n" + "".join(signer.line(text) for signer in (self.signer, *witnesses))

    def consistency(self, old: int, new: int | None = None) -> list[bytes]:
        return consistency(old, self.entries[:new])

    def inclusion(self, index: int, size: int | None = None) -> list[bytes]:
        return inclusion(index, self.entries[:size])
