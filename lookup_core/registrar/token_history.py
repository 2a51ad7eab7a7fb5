"""Who used a person's tokens, when and for what: checks, disclosures, and audited acts, newest first, in pages.

The answer is about all tokens of the person, rotated and revoked ones too. A reading is a privileged one: it is audited
in a transaction of its own before anything of it is told. Refuses to tell one operator another's uses, and a token that
an operator had not from the register as if nobody had it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from lookup_core.domain.bst import Token, format_token
from lookup_core.kernel.errors import TokenNotFound
from lookup_core.registrar.asked import Caller
from lookup_core.registrar.pages import Page, PageTokens
from lookup_core.registrar.secrets_in_use import Secrets
from lookup_core.registrar.store.faults import OutcomeUnknown
from lookup_core.registrar.store.port import Store
from lookup_core.registrar.store.rows import AuditLine
from lookup_core.registrar.store.token_rows import Place, Use

ACTION: Final = "bst.history_read"
PAGE_SIZE: Final = 100
LARGEST_PAGE: Final = 1000


@dataclass(frozen=True, slots=True)
class HistoryWanted:
    """Whose history; everybody's uses for who `sees_all`, else those of the caller's operator."""

    token: Token
    page_size: int = 0
    page_token: str = ""
    sees_all: bool = False


class TokenHistory:
    def __init__(self, store: Store, secrets: Secrets) -> None:
        self._store = store
        self._tokens = PageTokens(secrets.page_token, "token-history")

    async def __call__(self, wanted: HistoryWanted, caller: Caller) -> Page[Use]:
        """Raises TokenNotFound, InvalidRequest for a page token, StoreUnreachable, AuditUnavailable."""
        operator_id = None if wanted.sees_all else caller.operator_id
        narrowed = f"{format_token(wanted.token)} {operator_id or 'all'}"
        place = self._tokens.place(wanted.page_token, narrowed)
        size = min(wanted.page_size or PAGE_SIZE, LARGEST_PAGE)
        tokens, is_known = await self._store.tokens_of(wanted.token, caller.operator_id)
        if not tokens or not (is_known or wanted.sees_all):
            raise TokenNotFound
        found = await self._store.history(tokens, operator_id, _read(place) if place else None, size + 1)
        line = AuditLine(caller, ACTION, format_token(wanted.token))
        committed = await self._store.write(lambda tx: tx.audit([line]), until_s=caller.until_s)
        if not committed.is_replicated:
            raise OutcomeUnknown
        shown = found[:size]
        goes_on = len(found) > size
        return Page(shown, self._tokens.after(_written(shown[-1].place), narrowed) if goes_on else "")


def _written(place: Place) -> str:
    return f"{place.at.astimezone(UTC).isoformat()} {place.tie}"


def _read(place: str) -> Place:
    at, _, tie = place.partition(" ")
    return Place(datetime.fromisoformat(at), tie)
