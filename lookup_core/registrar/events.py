"""What the world outside is told of exclusions and tokens: the seed's webhook data. Never personal data."""

from __future__ import annotations

from typing import Final

from lookup_core.domain.bst import Token, format_token
from lookup_core.domain.exclusion import Exclusion
from lookup_core.domain.ids import OperatorId, PersonNo
from lookup_core.kernel.ids import new_id
from lookup_core.registrar.store.rows import Event

CREATED: Final = "exclusion.created"
EXTENDED: Final = "exclusion.extended"
BST_ROTATED: Final = "bst.rotated"


def of_exclusion(name: str, exclusion: Exclusion, token: Token | None) -> Event:
    """The event `name` about an exclusion as it stands now."""
    ends = exclusion.term.expiry_date
    return Event(
        event_id=new_id(),
        name=name,
        person_no=exclusion.person_no,
        data={
            "bst": None if token is None else format_token(token),
            "excluded": exclusion.excludes,
            "period": str(exclusion.period),
            "effective_date": exclusion.term.effective_date.isoformat(),
            "expiry_date": None if ends is None else ends.isoformat(),
        },
    )


def of_rotation(person_no: PersonNo, operator_id: OperatorId, old: Token, successor: Token | None) -> Event:
    """What one operator that had `old` is told. Without a successor: the old one resolves no more."""
    return Event(
        event_id=new_id(),
        name=BST_ROTATED,
        person_no=person_no,
        data={
            "bst": None if successor is None else format_token(successor),
            "replaces": format_token(old),
            "revoked": successor is None,
        },
        operator_id=operator_id,
    )


def of_turn(person_no: PersonNo, operator_id: OperatorId, generation: int) -> Event:
    """What one operator with tokens of its own is told: they are computed where it is sent, and stored nowhere."""
    return Event(
        event_id=new_id(),
        name=BST_ROTATED,
        person_no=person_no,
        data={"pairwise_generation": generation, "revoked": False},
        operator_id=operator_id,
    )
