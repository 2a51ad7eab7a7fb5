"""Listing API keys, revoked ones too, in the order of their ids. No secret and no MAC is in what it gives.

Pages go by the last id that was shown: a key that is there throughout is listed once, whatever is entered meanwhile.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from lookup_core.domain.ids import KeyId, OperatorId
from lookup_core.registrar.answers import ShownKey, shown
from lookup_core.registrar.asked import Caller
from lookup_core.registrar.audited_reads import AuditedReads
from lookup_core.registrar.pages import Page, PageTokens
from lookup_core.registrar.secrets_in_use import Secrets
from lookup_core.registrar.store.port import Store

ACTION: Final = "keys.listed"
PAGE_SIZE: Final = 100
LARGEST_PAGE: Final = 1000


@dataclass(frozen=True, slots=True)
class KeysWanted:
    """Which keys: one operator's or everybody's. A page size of 0 means the default."""

    operator_id: OperatorId | None = None
    page_size: int = 0
    page_token: str = ""


class ListKeys:
    def __init__(self, store: Store, secrets: Secrets, reads: AuditedReads) -> None:
        self._store = store
        self._reads = reads
        self._tokens = PageTokens(secrets.page_token, "keys")

    async def __call__(self, wanted: KeysWanted, caller: Caller) -> Page[ShownKey]:
        """Raises InvalidRequest for a page token that is not of this list and filter, AuditUnavailable,
        StoreUnreachable."""
        narrowed = "" if wanted.operator_id is None else str(wanted.operator_id)
        after = KeyId(self._tokens.place(wanted.page_token, narrowed))
        size = min(wanted.page_size or PAGE_SIZE, LARGEST_PAGE)
        found = await self._store.keys(
            wanted.operator_id, after, size + 1
        )  # one more: is there another page?
        await self._reads.note(caller, ACTION, f"operator {narrowed}" if narrowed else "keys")
        keys = [shown(key) for key in found[:size]]
        goes_on = len(found) > size
        return Page(keys, self._tokens.after(keys[-1].key_id, narrowed) if goes_on else "")
