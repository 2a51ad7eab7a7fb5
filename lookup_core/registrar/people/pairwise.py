"""The tokens by which operators know people: which one an answer shows, and whom one that was given stands for.

Here alone a pairwise token is resolved, under the keys of the operator who gives it: another operator's is noise, and
noise is answered as a token that the register never gave. Refuses to show a global token to an operator that has
pairwise ones.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from lookup_core.domain.bst import Token, format_token
from lookup_core.domain.ids import PersonNo
from lookup_core.domain.pairwise import HIGHEST_GENERATION, Holder, TokenKind
from lookup_core.kernel.pairing import Pairing
from lookup_core.registrar.asked import Caller
from lookup_core.registrar.store.port import Transaction
from lookup_core.registrar.store.rows import Person

_BEYOND_NUMBERS: Final = 2**63


@dataclass(frozen=True, slots=True)
class Bearer:
    """Whom a pairwise token stands for. `is_by_newest_key`: made under the pairing key in use."""

    holder: Holder
    is_by_newest_key: bool

    def is_live(self, generation: int) -> bool:
        """Whether it is what the operator is shown now, for a person who is at `generation`."""
        return self.is_by_newest_key and self.holder.generation == generation


class ShownTokens:
    """What each caller is shown in the place of a person."""

    def __init__(self, pairing: Pairing) -> None:
        self._pairing = pairing

    def token(self, caller: Caller, token: Token, holder: Holder) -> Token:
        """The token by which this caller knows whoever has the live global `token`."""
        if caller.token_kind is TokenKind.GLOBAL:
            return token
        assert caller.operator_id is not None, "a kind is an operator's"
        return self._pairing.mint(caller.operator_id, holder)

    def text(self, caller: Caller, token: Token, holder: Holder) -> str:
        """The same as text."""
        return format_token(self.token(caller, token, holder))

    def bearer(self, caller: Caller, token: Token) -> Bearer | None:
        """Whom a pairwise token of the caller's own operator stands for; None for noise."""
        if caller.operator_id is None:
            return None
        opened = self._pairing.open(caller.operator_id, token)
        if opened is None or opened.holder.person_no >= _BEYOND_NUMBERS:
            return None
        return Bearer(opened.holder, opened.is_by_newest_key)


async def turn(tx: Transaction, person: Person) -> Person:
    """Take the pairwise tokens of a person one generation further, at every operator at once; the person is locked.

    Tokens of earlier generations still resolve, marked rotated. Raises LookupError when there is no further one.
    """
    if person.pairwise_generation >= HIGHEST_GENERATION:
        raise LookupError("a person's pairwise tokens were rotated as often as they can be")
    await tx.turn_generation(person.number)
    return replace(person, pairwise_generation=person.pairwise_generation + 1)


NOBODY: Final = PersonNo(0)
"""Asked for in the place of noise, so that it takes as long as a person who is not there: numbers begin at 1."""
