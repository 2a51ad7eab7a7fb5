"""The one live token of a person, minted if there is none. Idempotent; many askers are grouped into one revision.

An operator that has pairwise tokens is shown its own, and when that was first given to it: the time at which somebody
else had theirs would be something by which two operators could tell that they mean one person.

Stores blind indexes only, no personal data. Does not wait for the replicas: a token that a replica does not know yet is
INDETERMINATE there, never NOT_EXCLUDED (SAFETY.md 24). Binds no new phone to a person known by document: an operator's
word is enough to name somebody, not to make a stranger's phone theirs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from lookup_core.domain.bst import Token, format_token
from lookup_core.domain.identity import Identity
from lookup_core.domain.ids import OperatorId, PersonNo, Revision
from lookup_core.domain.pairwise import Holder, TokenKind
from lookup_core.kernel.clock import Clock
from lookup_core.registrar import statements
from lookup_core.registrar.asked import Caller
from lookup_core.registrar.batches import Batches
from lookup_core.registrar.people.finding import Found, find_people
from lookup_core.registrar.people.identifiers import Identifier, Identifiers
from lookup_core.registrar.people.pairwise import ShownTokens
from lookup_core.registrar.people.tokens import Mint, Nonce, fresh_nonce
from lookup_core.registrar.people.which import Holding, choose
from lookup_core.registrar.recording import Ledger
from lookup_core.registrar.secrets_in_use import Secrets
from lookup_core.registrar.store.faults import OutcomeUnknown
from lookup_core.registrar.store.port import Store, Transaction
from lookup_core.registrar.store.rows import AuditLine, Disclosed, Look

ACTION = "bst.generated"


@dataclass(frozen=True, slots=True)
class Generated:
    """A person's live token, and `shown`, the one that the caller knows them by: the same one, or the caller's own.

    `is_new`: minted by this call, or, if it is the caller's own, given by this call.
    """

    token: Token
    shown: Token
    created_at: datetime
    is_new: bool
    revision: Revision  # at which, at the latest, it is in the register


@dataclass(frozen=True, slots=True)
class _Ask:
    identifiers: Identifiers
    caller: Caller


class GenerateToken:
    """Give the token of whoever has these identifiers."""

    def __init__(
        self, store: Store, ledger: Ledger, secrets: Secrets, clock: Clock, nonce: Nonce = fresh_nonce
    ) -> None:
        self._store = store
        self._ledger = ledger
        self._secrets = secrets
        self._clock = clock
        self._mint = Mint(lambda: secrets.ring.bst_salt, nonce)
        self._shown = ShownTokens(secrets.pairing)
        self._batches = Batches(self._write)

    async def __call__(self, identity: Identity, caller: Caller) -> Generated:
        """Raises StoreUnreachable, AuditUnavailable."""
        ask = _Ask(self._secrets.blinded(identity), caller)
        if (known := await self._known(ask)) is not None:
            return known
        try:
            async with asyncio.timeout_at(caller.until_s):
                return await self._batches.join(ask)
        except TimeoutError:
            raise OutcomeUnknown from None

    async def many(self, identities: Sequence[Identity], caller: Caller) -> Sequence[Generated]:
        """The tokens of many, in their order, with one look for all. Raises StoreUnreachable, AuditUnavailable."""
        asks = [_Ask(self._secrets.blinded(identity), caller) for identity in identities]
        every = {identifier for ask in asks for identifier in ask.identifiers}
        look = await self._store.look(list(every), caller.operator_id)
        holdings: dict[Identifier, list[Holding]] = {}
        for holding in look.holdings:
            holdings.setdefault(holding.identifier, []).append(holding)
        known = [
            self._told(ask, look, [one for each in ask.identifiers for one in holdings.get(each, ())])
            for ask in asks
        ]
        missing = [ask for ask, told in zip(asks, known, strict=True) if told is None]
        try:
            async with asyncio.timeout_at(caller.until_s):
                minted = iter(await asyncio.gather(*map(self._batches.join, missing)))
        except TimeoutError:
            raise OutcomeUnknown from None
        return [next(minted) if told is None else told for told in known]

    async def _known(self, ask: _Ask) -> Generated | None:
        """The token, if everything about it is in the register already: then nothing is written."""
        look = await self._store.look(list(ask.identifiers), ask.caller.operator_id)
        return self._told(ask, look, look.holdings)

    def _told(self, ask: _Ask, look: Look, holdings: Sequence[Holding]) -> Generated | None:
        """What a look tells already, given who holds what is asked by."""
        choice = choose(ask.identifiers, holdings, binds_phones=False)
        live = None if choice.person_no is None or choice.bind else look.tokens.get(choice.person_no)
        if choice.person_no is None or live is None:
            return None
        if live.known_since is None and ask.caller.operator_id is not None:
            return None
        known = None if live.known_since is None else Disclosed(live.known_since, is_new=False)
        holder = Holder(choice.person_no, live.pairwise_generation)
        minted = Disclosed(live.created_at, is_new=False)
        return self._generated(ask.caller, live.token, holder, minted=minted, given=known, revision=look.at)

    async def _write(self, asks: Sequence[_Ask]) -> Sequence[Generated]:
        committed = await self._store.write(lambda tx: self._generate(tx, asks))
        if not committed.is_replicated:
            raise OutcomeUnknown  # a standby may not have these tokens; asking again finds or mints them
        return committed.result

    async def _generate(self, tx: Transaction, asks: Sequence[_Ask]) -> list[Generated]:
        identifiers = [ask.identifiers for ask in asks]
        found = await find_people(tx, identifiers, binds_phones=False)
        before = {each.person.number for each in found if each.person.token is None}
        found = await self._mint.give(tx, found, identifiers, asks[0].caller, self._clock.now())
        known = await self._disclose(tx, found, asks)
        revision = await self._state(tx, found, asks)
        generated: list[Generated] = []
        for each, ask in zip(found, asks, strict=True):
            token, created_at = each.person.token, each.person.token_created_at
            assert token is not None
            assert created_at is not None
            minted = Disclosed(created_at, each.person.number in before)
            given = known.pop((ask.caller.operator_id, token), None)
            holder = each.person.holder
            generated.append(
                self._generated(ask.caller, token, holder, minted=minted, given=given, revision=revision)
            )
            # Of several who asked for one person, the first made it.
            before.discard(each.person.number)
            if given is not None:
                known[ask.caller.operator_id, token] = replace(given, is_new=False)
        return generated

    def _generated(
        self,
        caller: Caller,
        token: Token,
        holder: Holder,
        *,
        minted: Disclosed,
        given: Disclosed | None,
        revision: Revision,
    ) -> Generated:
        since = given if caller.token_kind is TokenKind.PAIRWISE and given is not None else minted
        return Generated(
            token=token,
            shown=self._shown.token(caller, token, holder),
            created_at=since.since,
            is_new=since.is_new,
            revision=revision,
        )

    async def _disclose(
        self, tx: Transaction, found: Sequence[Found], asks: Sequence[_Ask]
    ) -> dict[tuple[OperatorId | None, Token], Disclosed]:
        """Since when each operator has known those whom it asks about."""
        known: dict[tuple[OperatorId | None, Token], Disclosed] = {}
        for operator_id in {ask.caller.operator_id for ask in asks}:
            tokens = {
                each.person.token
                for each, ask in zip(found, asks, strict=True)
                if ask.caller.operator_id == operator_id and each.person.token is not None
            }
            if operator_id is not None and tokens:
                disclosed = await tx.disclose(tokens, operator_id)
                known |= {(operator_id, token): since for token, since in disclosed.items()}
        return known

    async def _state(self, tx: Transaction, found: Sequence[Found], asks: Sequence[_Ask]) -> Revision:
        """One revision for everybody who changed; none when nobody did."""
        changed: dict[PersonNo, tuple[Found, _Ask]] = {}
        for each, ask in zip(found, asks, strict=True):
            if each.is_changed:
                changed.setdefault(each.person.number, (each, ask))
        if not changed:
            return await tx.position()
        people = [statements.of_person(each.person) for each, _ in changed.values()]
        revised = await self._ledger.take(tx, statements.change(*people))  # the counter, last
        await tx.record(revised)
        await tx.audit(
            [
                AuditLine(ask.caller, ACTION, format_token(each.person.token), revision=revised.revision)
                for each, ask in changed.values()
                if each.person.token is not None
            ]
        )
        return revised.revision
