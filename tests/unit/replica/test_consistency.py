"""What a revision token may make a check wait for: a revision of this store that was given out, and nothing else."""

from __future__ import annotations

import asyncio
from typing import Any, cast
from uuid import uuid4

import pytest

from lookup_core.domain.chain import Digest
from lookup_core.domain.ids import Revision, StoreId
from lookup_core.domain.revision import seal
from lookup_core.kernel.errors import (
    InvalidRevisionToken,
    Refused,
    RevisionFromOtherStore,
    RevisionNotReached,
)
from lookup_core.replica.consistency import TO_ANSWER_S, Consistency
from lookup_core.replica.feed import Position
from lookup_core.replica.subjects import Freshness
from tests.support import broken_around

KEY, STORE = b"r" * 32, StoreId(uuid4())


class At:
    """A follower at revision 7 of `STORE`, to which nothing comes."""

    position = Position(STORE, Revision(7), Digest(bytes(32)))

    async def reach(self, revision: Revision) -> None:
        await asyncio.Event().wait()


async def refusal_of(kind: type[Consistency], token: str) -> type[Refused] | None:
    consistency = kind(cast(Any, At()), KEY)
    try:
        await consistency.reach(Freshness(at_least=token), TO_ANSWER_S + 0.05)
    except Refused as refused:
        return type(refused)
    return None


@pytest.mark.parametrize(
    ("kind", "refusal"),
    [
        (Consistency, InvalidRevisionToken),
        pytest.param(broken_around.TrustsAnyToken, RevisionNotReached, marks=pytest.mark.breaks),
    ],
)
async def test_a_revision_that_was_made_up_holds_no_check(
    kind: type[Consistency], refusal: type[Refused]
) -> None:
    """SAFETY.md 21: else whoever writes a high number holds a check until its deadline."""
    made_up = seal(b"?" * 32, STORE, Revision(10**9))
    assert await refusal_of(kind, made_up) is refusal


@pytest.mark.parametrize(
    ("kind", "refusal"),
    [
        (Consistency, RevisionFromOtherStore),
        pytest.param(broken_around.AnyStoreWillDo, None, marks=pytest.mark.breaks),
    ],
)
async def test_a_revision_of_another_store_is_not_taken_for_one_of_ours(
    kind: type[Consistency], refusal: type[Refused] | None
) -> None:
    """SAFETY.md 21: after a restore, revision 5 of before says nothing about what revision 7 has now."""
    assert await refusal_of(kind, seal(KEY, StoreId(uuid4()), Revision(5))) is refusal


async def test_a_revision_that_is_held_is_not_waited_for() -> None:
    assert await refusal_of(Consistency, seal(KEY, STORE, Revision(7))) is None
    assert await refusal_of(Consistency, seal(KEY, STORE, Revision(8))) is RevisionNotReached
