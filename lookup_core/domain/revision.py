"""Revision tokens: opaque to callers, bound to one store, and not to be made up.

Without the MAC a caller could name a revision that will never come and hold a check until its deadline;
without the store id a token from before a restore would be compared with numbers of another history.
"""

import base64
import binascii
import hmac
from typing import Final
from uuid import UUID

from lookup_core.domain.errors import InvalidRevisionToken
from lookup_core.domain.ids import Revision, StoreId

_MAC_BYTES: Final = 16
_RAW_BYTES: Final = 16 + 8 + _MAC_BYTES
_TEXT_LENGTH: Final = 54  # 40 bytes in base64 without padding


def seal(key: bytes, store_id: StoreId, revision: Revision) -> str:
    """Write a revision of a store as text: base64url of store id, revision (u64) and a MAC of 128 bits."""
    body = store_id.bytes + revision.to_bytes(8, "big")
    return _spelled(body + _mac(key, body))


def open_token(key: bytes, text: str) -> tuple[StoreId, Revision]:
    """Read a token that `seal` wrote under the same key. Raises InvalidRevisionToken."""
    if len(text) != _TEXT_LENGTH or not text.isascii():
        raise InvalidRevisionToken
    try:
        raw = base64.b64decode(text + "==", altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise InvalidRevisionToken from None
    body, mac = raw[:-_MAC_BYTES], raw[-_MAC_BYTES:]
    # The last check refuses a second spelling of the same bytes.
    if not hmac.compare_digest(mac, _mac(key, body)) or _spelled(raw) != text:
        raise InvalidRevisionToken
    return StoreId(UUID(bytes=body[:16])), Revision(int.from_bytes(body[16:], "big"))


def _spelled(raw: bytes) -> str:
    """The one spelling of a token's bytes."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def _mac(key: bytes, body: bytes) -> bytes:
    return hmac.digest(key, b"nser/revision/1\0" + body, "sha256")[:_MAC_BYTES]
