"""Whether a larger tree holds the smaller one: the consistency proof of RFC 6962, section 2.1.2, read backwards.

The RFC makes a proof by going down from the root; its last hash belongs to the first step. So the proof is taken from
its end while we go down, and both roots are put together on the way up, as the RFC's SUBPROOF names them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

EMPTY_ROOT = hashlib.sha256().digest()


def is_consistent(old: tuple[int, bytes], new: tuple[int, bytes], proof: Sequence[bytes]) -> bool:
    """Whether `proof` shows that the tree `new` (size and root) begins with all of the tree `old`."""
    (old_size, old_root), (new_size, new_root) = old, new
    if old_size in (0, new_size):
        return not proof and (old_size == 0 or old_root == new_root)
    left = list(proof)
    try:
        roots = _roots(old_size, new_size, left, old_root)
    except IndexError:  # shorter than a proof between these sizes
        return False
    return not left and roots == (old_root, new_root)


def _roots(m: int, n: int, proof: list[bytes], known: bytes | None) -> tuple[bytes, bytes]:
    """SUBPROOF(m, D[n], known is not None): the roots over m and over n that the end of `proof` leads to."""
    if m == n:
        same = known if known is not None else proof.pop()
        return same, same
    k = 1 << ((n - 1).bit_length() - 1)
    beside = proof.pop()
    if m <= k:
        old, new = _roots(m, k, proof, known)
        return old, _node(new, beside)
    old, new = _roots(m - k, n - k, proof, None)
    return _node(beside, old), _node(beside, new)


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()
