"""Where a list goes on: page tokens that confer no authority.

A token says after which entry the next page begins, and nothing else; who may read the list is decided at every call.
Its MAC binds it to its list and its filter, so that a mistaken or made-up one is refused and not answered with a page
from somewhere. Refuses to be a snapshot: what is entered meanwhile is listed where the list has not passed yet.
"""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from lookup_core.kernel.errors import InvalidRequest

MAC_BYTES: Final = 12
LONGEST_TOKEN: Final = 512
"""Characters; the contract's own limit."""

Entry = TypeVar("Entry")


@dataclass(frozen=True, slots=True)
class Page(Generic[Entry]):
    """Some entries of a list in its order; `next_token` is empty on the last page."""

    entries: Sequence[Entry]
    next_token: str = ""


class PageTokens:
    """Makes and reads the tokens of one list. `key` has 32 bytes; `listing` is the list's name."""

    def __init__(self, key: bytes, listing: str) -> None:
        self._key = key
        self._listing = listing

    def after(self, place: str, narrowed: str) -> str:
        """The token of the page after the entry `place`, in the list narrowed down to `narrowed`."""
        raw = place.encode()
        return urlsafe_b64encode(self._mac(raw, narrowed) + raw).decode("ascii").rstrip("=")

    def place(self, token: str, narrowed: str) -> str:
        """After which entry to go on; empty for the first page. Raises InvalidRequest naming `page_token`."""
        if not token:
            return ""
        raw = _decoded(token)
        mac, place = raw[:MAC_BYTES], raw[MAC_BYTES:]
        if not hmac.compare_digest(mac, self._mac(place, narrowed)):
            raise InvalidRequest(
                "page_token",
                "The page_token is not one that this list gave for the same filter. Send the next_page_token of the "
                "page before with the same filter, or none to begin again.",
            )
        return place.decode()

    def _mac(self, place: bytes, narrowed: str) -> bytes:
        parts = (self._listing.encode(), narrowed.encode(), place)
        message = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
        return hmac.digest(self._key, b"nser/page/1\0" + message, "sha256")[:MAC_BYTES]


def _decoded(token: str) -> bytes:
    """The token's bytes; empty, which no MAC matches, for what is not in its one canonical form."""
    if len(token) > LONGEST_TOKEN or not token.isascii():
        return b""
    try:
        raw = urlsafe_b64decode(token + "=" * (-len(token) % 4))
    except ValueError:
        return b""
    return raw if urlsafe_b64encode(raw).decode("ascii").rstrip("=") == token else b""
