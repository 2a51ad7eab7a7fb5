"""Who used a person's tokens, when and for what: checks, disclosures, and audited acts, newest first, in pages.

The answer is about all tokens of the person, rotated and revoked ones too. A reading is a privileged one: it is audited
in a transaction of its own before anything of it is told. Refuses to tell one operator another's uses, and a token that
an operator had not from the register as if nobody had it. An operator with tokens of its own asks by those alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from lookup_core.domain.bst import PAIRWISE, Token, format_token
from lookup_core.domain.pairwise import TokenKind
from lookup_core.kernel.errors import TokenNotFound
from lookup_core.registrar.asked import Caller
from lookup_core.registrar.audited_reads import AuditedReads
from lookup_core.registrar.pages import Page, PageTokens
from lookup_core.registrar.people.pairwise import NOBODY, ShownTokens
from lookup_core.registrar.secrets_in_use import Secrets
from lookup_core.registrar.store.port import Store
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
    def __init__(self, store: Store, secrets: Secrets, reads: AuditedReads) -> None:
        self._store = store
        self._reads = reads
        self._shown = ShownTokens(secrets.pairing)
        self._tokens = PageTokens(secrets.page_token, "token-history")

    async def __call__(self, wanted: HistoryWanted, caller: Caller) -> Page[Use]:
        """Raises TokenNotFound, InvalidRequest for a page token, StoreUnreachable, AuditUnavailable."""
        operator_id = None if wanted.sees_all else caller.operator_id
        narrowed = f"{format_token(wanted.token)} {operator_id or 'all'}"
        place = self._tokens.place(wanted.page_token, narrowed)
        size = min(wanted.page_size or PAGE_SIZE, LARGEST_PAGE)
        tokens = await self._tokens_of(wanted, caller)
        found = await self._store.history(tokens, operator_id, _read(place) if place else None, size + 1)
        await self._reads.note(caller, ACTION, format_token(tokens[0]))
        shown = found[:size]
        goes_on = len(found) > size
        return Page(shown, self._tokens.after(_written(shown[-1].place), narrowed) if goes_on else "")

    async def _tokens_of(self, wanted: HistoryWanted, caller: Caller) -> Sequence[Token]:
        """All global tokens of the person that is meant. Raises TokenNotFound, whatever it is that is not there."""
        token, is_pairwise = wanted.token, wanted.token.version == PAIRWISE
        bearer = self._shown.bearer(caller, token) if is_pairwise else None
        number = bearer.holder.person_no if bearer is not None else NOBODY if is_pairwise else None
        tokens, is_known = await self._store.tokens_of(token, caller.operator_id, number)
        if caller.token_kind is TokenKind.PAIRWISE and not is_pairwise:
            is_known = (
                False  # a global token that it has from elsewhere: no word of whom of its own it stands for
            )
        if not tokens or not (is_known or bearer is not None or wanted.sees_all):
            raise TokenNotFound
        return tokens


def _written(place: Place) -> str:
    return f"{place.at.astimezone(UTC).isoformat()} {place.tie}"


def _read(place: str) -> Place:
    at, _, tie = place.partition(" ")
    return Place(datetime.fromisoformat(at), tie)
