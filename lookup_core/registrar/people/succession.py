"""Retiring tokens of people whose rows are locked, with a successor for each live one: one person or many at once.

A rotated token goes on resolving, so its successor is told to every operator that had it: a check with the old one
tells it anyway. A revoked one resolves no more, and its successor is told to nobody: whoever holds the old ones by
theft must not be handed the new ones.

Pairwise tokens have no rows: theirs change with the person's generation, and never with a global one's rotation. An
operator that has them is told of no global token.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final
from uuid import UUID

from lookup_core.domain.bst import Token, format_token
from lookup_core.domain.ids import OperatorId, PersonNo, RequestId, Revision
from lookup_core.domain.pairwise import HIGHEST_GENERATION, TokenKind
from lookup_core.registrar import events
from lookup_core.registrar.asked import Caller
from lookup_core.registrar.people.pairwise import turn
from lookup_core.registrar.people.tokens import Mint
from lookup_core.registrar.store.port import Transaction
from lookup_core.registrar.store.rows import AuditLine, Event, Minted, Person

ROTATED: Final = "rotated"
REVOKED: Final = "revoked"


@dataclass(frozen=True, slots=True)
class Retiring:
    """A locked person, and the state that some of their tokens are to have."""

    person: Person
    states: Mapping[Token, str]


@dataclass(frozen=True, slots=True)
class Succeeded:
    """A person as they stand afterwards; `minted` where their live token was retired."""

    person: Person
    states: Mapping[Token, str]
    minted: Minted | None


async def succeed(
    tx: Transaction,
    mint: Mint,
    retiring: Sequence[Retiring],
    caller: Caller,
    at: datetime,
    *,
    rotation_id: UUID | None = None,
) -> tuple[Sequence[Succeeded], Sequence[Event]]:
    """Retire, mint and disclose; give what changed, and what the operators who knew the old tokens are told."""
    await tx.retire_tokens({token: state for each in retiring for token, state in each.states.items()})
    successors = [each.person for each in retiring if each.person.token in each.states]
    minted = await mint.anew(tx, successors, caller, at, rotation_id=rotation_id) if successors else {}
    done = [_after(each, minted) for each in retiring]
    knowers = await tx.knowers({token for each in retiring for token in each.states})
    passed: set[tuple[Token, Token, OperatorId]] = set()
    told: list[Event] = []
    for each in done:
        for old, state in each.states.items():
            successor = each.person.token if state == ROTATED else None
            for knower in knowers.get(old, ()):
                is_pairwise = knower.token_kind is TokenKind.PAIRWISE
                if each.minted is not None and (is_pairwise or successor is not None):
                    passed.add((each.minted.token, old, knower.operator_id))
                if not is_pairwise:
                    told.append(events.of_rotation(each.person.number, knower.operator_id, old, successor))
    if passed:
        await tx.pass_on(passed)
    return done, told


async def turn_all(tx: Transaction, people: Sequence[Person]) -> tuple[Sequence[Succeeded], Sequence[Event]]:
    """Take pairwise tokens of locked people one generation further, at every operator that has such, and tell each.

    Those who cannot be taken further, after some ten thousand times, are left out.
    """
    turned = [await turn(tx, each) for each in people if each.pairwise_generation < HIGHEST_GENERATION]
    knowers = await tx.knowers({each.token for each in turned if each.token is not None})
    told = [
        events.of_turn(each.number, knower.operator_id, each.pairwise_generation)
        for each in turned
        for knower in (() if each.token is None else knowers.get(each.token, ()))
        if knower.token_kind is TokenKind.PAIRWISE
    ]
    return [Succeeded(each, {}, None) for each in turned], told


def lines(
    succeeded: Sequence[Succeeded],
    caller: Caller,
    reason: str,
    revision: Revision,
    request_id: RequestId | None = None,
) -> Sequence[AuditLine]:
    """The audit lines: each token that was retired, and each that was minted for it; no pairwise token is in them."""
    written: list[AuditLine] = []
    for each in succeeded:
        acts = [(f"bst.{state}", token) for token, state in each.states.items()]
        if each.minted is not None:
            acts.append(("bst.generated", each.minted.token))
        if not each.states and each.person.token is not None:
            acts.append(
                ("bst.turned", each.person.token)
            )  # its pairwise tokens; the line names the person's global one
        written += [
            AuditLine(caller, action, format_token(token), reason, request_id, revision)
            for action, token in acts
        ]
    return written


def _after(retiring: Retiring, minted: Mapping[PersonNo, Minted]) -> Succeeded:
    person, states = retiring.person, retiring.states
    new = minted.get(person.number)
    held = [person.token, *person.rotated_tokens] if person.token is not None else [*person.rotated_tokens]
    live = person.token if new is None else new.token
    after = replace(
        person,
        token=live,
        token_created_at=person.token_created_at if new is None else new.created_at,
        rotated_tokens=tuple(one for one in held if one != live and states.get(one, ROTATED) == ROTATED),
        revoked_tokens=(*person.revoked_tokens, *(one for one in held if states.get(one) == REVOKED)),
    )
    return Succeeded(after, states, new)
