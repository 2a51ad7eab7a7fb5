"""The keyed chain over the change feed: d_r = HMAC-SHA-256(k_feed, d_(r-1) ‖ r ‖ change) (SAFETY.md 13).

A replica that cannot recompute a revision's digest closes. Whoever can write the table but has not the key can forge
nothing, releases included. The bytes of a change are hashed as stored; nothing is serialised a second time.
"""

from __future__ import annotations

import hmac
from typing import Final, NewType

from lookup_core.domain.ids import Revision, StoreId

Digest = NewType("Digest", bytes)
DIGEST_SIZE: Final = 32


def genesis(key: bytes, store_id: StoreId) -> Digest:
    """The digest of revision 0 of a store; differs between stores that share a key."""
    return Digest(hmac.digest(key, b"nser/feed/genesis\0" + store_id.bytes, "sha256"))


def extended(key: bytes, previous: Digest, revision: Revision, statements: bytes) -> Digest:
    """The digest of `revision`, whose stored bytes are `statements`, after `previous`."""
    return Digest(hmac.digest(key, previous + revision.to_bytes(8, "big") + statements, "sha256"))


def is_same(one: bytes, other: bytes) -> bool:
    return hmac.compare_digest(one, other)
