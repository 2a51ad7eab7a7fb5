"""The Merkle tree of RFC 6962 and RFC 9162: roots, proofs that an entry is in a log, proofs that a log only grew.

Pure, and without storage: a proof is described as ranges of leaves and the complete subtrees that make them up, so that
a log of any size proves from the few hashes that it keeps. Hashes are 32 bytes (SHA-256). A leaf and a node are hashed
with another first byte, so neither can be passed off as the other.

It proves that nothing was changed, left out or put in among what a root covers. It does not prove what happened before
somebody else saw that root.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

HASH_BYTES: Final = 32
EMPTY_ROOT: Final = sha256(b"").digest()

Range = tuple[int, int]
"""Leaves from the first number to before the second."""
Node = tuple[int, int]
"""A complete subtree: its level (0: leaves) and its place in it."""


def leaf_hash(data: bytes) -> bytes:
    """Hash an entry of a log."""
    return sha256(b"\0" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return sha256(b"\1" + left + right).digest()


def root(hashes: Sequence[bytes]) -> bytes:
    """The root over the leaf hashes of a whole log."""
    tree = Tree()
    for each in hashes:
        tree.append(each)
    return tree.root()


def inclusion_path(hashes: Sequence[bytes], index: int) -> list[bytes]:
    """The proof that leaf `index` is in the log of these leaf hashes. Raises ValueError for an index outside."""
    return [root(hashes[begin:end]) for begin, end in inclusion_ranges(index, len(hashes))]


def consistency_path(hashes: Sequence[bytes], old_size: int) -> list[bytes]:
    """The proof that the log of these leaf hashes begins with its first `old_size`. Raises ValueError."""
    return [root(hashes[begin:end]) for begin, end in consistency_ranges(old_size, len(hashes))]


def root_from_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes:
    """The root of the log of `size` that has the leaf hash `leaf` at `index`, by its proof (RFC 9162, 2.1.3.2).

    Raises ValueError when the proof has another shape than that place has; whether the root is right is for the caller.
    """
    ranges = inclusion_ranges(index, size)
    if len(ranges) != len(path) or any(len(each) != HASH_BYTES for each in (leaf, *path)):
        raise ValueError("the proof does not have the shape of a proof for this place")
    found = leaf
    for (begin, _), sibling in zip(ranges, path, strict=True):
        found = node_hash(found, sibling) if begin > index else node_hash(sibling, found)
    return found


def check_consistency(
    old_size: int, old_root: bytes, new_size: int, new_root: bytes, path: Sequence[bytes]
) -> None:
    """Raise ValueError unless the newer log begins with the older one (RFC 9162, 2.1.4.2)."""
    if not 0 <= old_size <= new_size:
        raise ValueError("the older log is the longer one")
    if any(len(each) != HASH_BYTES for each in (old_root, new_root, *path)):
        raise ValueError("a hash has 32 bytes")
    if old_size in (0, new_size):
        expected = EMPTY_ROOT if old_size == 0 else new_root
        if path or not hmac.compare_digest(old_root, expected):
            raise ValueError("the older root is not of this log")
        return
    ranges = consistency_ranges(old_size, new_size)
    if len(ranges) != len(path):
        raise ValueError("the proof does not have the shape of a proof for these sizes")
    # Where the old log is one complete subtree, its root is the first hash and is not sent.
    proved = list(zip(ranges, path, strict=True))
    begin, end = _last_complete(old_size)
    first = old_root if (begin, end) == (0, old_size) else proved.pop(0)[1]
    old = new = first
    for (place, _), sibling in proved:
        if place < begin:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
        else:
            new = node_hash(new, sibling)
    if not (hmac.compare_digest(old, old_root) and hmac.compare_digest(new, new_root)):
        raise ValueError("the newer log does not begin with the older one")


# -- the shape of proofs, for whoever keeps the hashes


def inclusion_ranges(index: int, size: int) -> list[Range]:
    """What each hash of a proof is the root of, from the leaf up. Raises ValueError for an index outside."""
    if not 0 <= index < size:
        raise ValueError("no such entry in a log of this size")
    ranges: list[Range] = []
    begin, end = 0, size
    while end - begin > 1:
        middle = begin + _split(end - begin)
        if index < middle:
            ranges.append((middle, end))
            end = middle
        else:
            ranges.append((begin, middle))
            begin = middle
    return ranges[::-1]


def consistency_ranges(old_size: int, new_size: int) -> list[Range]:
    """What each hash of a consistency proof is the root of. Raises ValueError for an older log that is longer."""
    if not 0 <= old_size <= new_size:
        raise ValueError("the older log is the longer one")
    if old_size in (0, new_size):
        return []
    ranges: list[Range] = []
    begin, end = 0, new_size
    while end != old_size:
        middle = begin + _split(end - begin)
        if old_size <= middle:
            ranges.append((middle, end))
            end = middle
        else:
            ranges.append((begin, middle))
            begin = middle
    if begin != 0:
        ranges.append((begin, end))
    return ranges[::-1]


def complete_subtrees(begin: int, end: int) -> Iterator[Node]:
    """The complete subtrees that a range of a proof is made of, from left to right."""
    while begin < end:
        level = (end - begin).bit_length() - 1
        if begin:
            level = min(level, (begin & -begin).bit_length() - 1)
        yield level, begin >> level
        begin += 1 << level


def joined(hashes: Iterable[bytes]) -> bytes:
    """The root of a range from those of its complete subtrees, from left to right."""
    found: bytes | None = None
    for each in reversed(list(hashes)):
        found = each if found is None else node_hash(each, found)
    return EMPTY_ROOT if found is None else found


def prove(ranges: Iterable[Range], hash_at: Callable[[Node], bytes]) -> list[bytes]:
    """A proof from kept hashes."""
    return [joined(map(hash_at, complete_subtrees(*each))) for each in ranges]


@dataclass(slots=True)
class Tree:
    """A tree that grows: its size and the roots of its complete subtrees, so nothing is read again to append."""

    size: int = 0
    subtrees: list[bytes] = field(default_factory=list)
    """From left to right: one for each bit of the size, the largest first."""

    def append(self, leaf: bytes) -> None:
        """Add the hash of a leaf. Amortised one node hash."""
        self.add(0, leaf)

    def add(self, level: int, subtree: bytes) -> None:
        """Add a complete subtree of 2^level leaves. Raises ValueError where none of that size can begin."""
        found, size = subtree, self.size >> level
        if size << level != self.size:
            raise ValueError("no complete subtree of this size begins here")
        while size & 1:
            found = node_hash(self.subtrees.pop(), found)
            size >>= 1
        self.subtrees.append(found)
        self.size += 1 << level

    def root(self) -> bytes:
        return joined(self.subtrees)


def _split(size: int) -> int:
    """The largest power of two below `size`."""
    return 1 << (size - 1).bit_length() - 1


def _last_complete(size: int) -> Range:
    """The last complete subtree of a log: where a consistency proof begins."""
    width = size & -size
    return size - width, size
