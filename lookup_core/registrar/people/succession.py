"""Retiring tokens of people whose rows are locked, with a successor for each live one: one person or many at once.

A rotated token goes on resolving, so its successor is told to every operator that had it: a check with the old one
tells it anyway. A revoked one resolves no more, and its successor is told to nobody: whoever holds the old ones by
theft must not be handed the new ones. Pairwise tokens have no rows here; theirs change with the person's generation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final
from uuid import UUID

from lookup_core.domain.bst import Token, format_token
from lookup_core.domain.ids import OperatorId, PersonNo, RequestId, Revision
from lookup_core.registrar import events
from lookup_core.registrar.asked import Caller
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
    pairs: set[tuple[Token, OperatorId]] = set()
    told: list[Event] = []
    for each in done:
        for old, state in each.states.items():
            successor = each.person.token if state == ROTATED else None
            for operator_id in knowers.get(old, ()):
                told.append(events.of_rotation(each.person.number, operator_id, old, successor))
                if successor is not None:
                    pairs.add((successor, operator_id))
    if pairs:
        await tx.disclose_pairs(pairs)
    return done, told


def lines(
    succeeded: Sequence[Succeeded],
    caller: Caller,
    reason: str,
    revision: Revision,
    request_id: RequestId | None = None,
) -> Sequence[AuditLine]:
    """The audit lines: each token that was retired, and each that was minted for it."""
    written: list[AuditLine] = []
    for each in succeeded:
        for token, state in each.states.items():
            written.append(
                AuditLine(caller, f"bst.{state}", format_token(token), reason, request_id, revision)
            )
        if each.minted is not None and each.minted.replaces is not None:
            why = f"in the place of {format_token(each.minted.replaces)}"
            new = format_token(each.minted.token)
            written.append(AuditLine(caller, "bst.generated", new, why, request_id, revision))
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
