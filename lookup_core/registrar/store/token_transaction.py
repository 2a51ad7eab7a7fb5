"""The part of a writing transaction that is about tokens: who holds one, retiring it, rotations of many."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from uuid import UUID

import asyncpg

from lookup_core.domain.bst import Token
from lookup_core.domain.ids import OperatorId, PersonNo, RequestId, Revision
from lookup_core.domain.pairwise import TokenKind
from lookup_core.registrar.store.pool import QUERIES, Connection
from lookup_core.registrar.store.rows import Event
from lookup_core.registrar.store.token_rows import (
    Cursor,
    HeldToken,
    Knower,
    Minting,
    Passed,
    Rotation,
    RotationState,
    Step,
)

_BEGINNING = datetime(1, 1, 1, tzinfo=UTC)


class TokenTransaction:
    """The statements about tokens, on the connection of a transaction."""

    _connection: Connection

    async def token_held(self, token: Token, operator_id: OperatorId | None) -> HeldToken | None:
        row = await self._connection.fetchrow(QUERIES["token_held"], token.raw, token.version, operator_id)
        return None if row is None else HeldToken(PersonNo(row["person_no"]), row["state"], row["is_known"])

    async def retire_tokens(self, states: Mapping[Token, str]) -> None:
        await self._connection.execute(
            QUERIES["retire_tokens"], [token.raw for token in states], list(states.values())
        )

    async def knowers(self, tokens: Collection[Token]) -> Mapping[Token, Sequence[Knower]]:
        by_raw = {token.raw: token for token in tokens}
        found: dict[Token, list[Knower]] = {}
        for row in await self._connection.fetch(QUERIES["knowers"], list(by_raw)):
            knower = Knower(OperatorId(row["operator_id"]), TokenKind(row["token_kind"]))
            found.setdefault(by_raw[row["token"]], []).append(knower)
        return found

    async def pass_on(self, passed: Collection[tuple[Token, Token, OperatorId]]) -> None:
        ordered = sorted(passed)
        columns = (
            [new.raw for new, _, _ in ordered],
            [old.raw for _, old, _ in ordered],
            [operator_id for _, _, operator_id in ordered],
        )
        await self._connection.execute(QUERIES["pass_on"], *columns)

    async def tell(self, events: Sequence[Event], revision: Revision) -> None:
        await self._connection.execute(
            QUERIES["tell"],
            [event.event_id for event in events],
            [event.person_no for event in events],
            [event.name for event in events],
            [json.dumps(event.data) for event in events],
            [event.operator_id for event in events],
            revision,
        )

    # -- rotations of many tokens

    async def start_rotation(self, rotation: Rotation, tokens: Collection[Token]) -> bool:
        minted = rotation.minted
        entered = await self._connection.fetchval(
            QUERIES["start_rotation"],
            *(rotation.rotation_id, rotation.digest, rotation.operator_id),
            *((None, None) if minted is None else (minted.from_at, minted.to_at)),
            *(rotation.listed, rotation.revokes, rotation.is_dry_run, rotation.reason),
            *(rotation.actor, rotation.origin, rotation.correlation_id, rotation.started_at),
        )
        if entered is not None and tokens:
            listed = sorted(tokens)
            await self._connection.execute(
                QUERIES["list_rotation"],
                rotation.rotation_id,
                [token.raw for token in listed],
                [token.version for token in listed],
            )
        return entered is not None

    async def kind_of_operator(self, operator_id: OperatorId) -> TokenKind | None:
        kind = await self._connection.fetchval(QUERIES["kind_of_operator"], operator_id)
        return None if kind is None else TokenKind(kind)

    async def rotation(self, rotation_id: UUID) -> Rotation | None:
        row = await self._connection.fetchrow(QUERIES["rotation"], rotation_id)
        return None if row is None else rotation_of(row)

    async def lock_rotation(self, rotation_id: UUID) -> Rotation | None:
        await self._connection.execute(QUERIES["lock_rotation"], rotation_id)
        return await self.rotation(rotation_id)

    async def claim_rotation(self, rotation_id: UUID) -> Rotation | None:
        if await self._connection.fetchval(QUERIES["claim_rotation"], rotation_id) is None:
            return None
        return await self.rotation(rotation_id)

    async def gather(self, rotation: Rotation, count: int) -> None:
        begins, ends = rotation.gathered_at or _BEGINNING, rotation.started_at
        until = await self._connection.fetchval(QUERIES["gather_until"], begins, ends, count)
        until = ends if until is None else until
        await self._connection.execute(QUERIES["gather"], rotation.operator_id, begins, until)
        await self._connection.execute(QUERIES["gathered"], rotation.rotation_id, until)

    async def next_tokens(self, rotation: Rotation, count: int) -> Sequence[Passed]:
        cursor = rotation.cursor
        if rotation.operator_id is not None:
            rows = await self._connection.fetch(
                QUERIES["pass_operator"], rotation.operator_id, cursor.token, count
            )
        elif rotation.minted is not None:
            place = (cursor.at or _BEGINNING, cursor.token)
            minted = rotation.minted
            rows = await self._connection.fetch(
                QUERIES["pass_minted"], minted.from_at, minted.to_at, *place, count
            )
        else:
            rows = await self._connection.fetch(
                QUERIES["pass_list"], rotation.rotation_id, cursor.token, count
            )
        return [_passed(row) for row in rows]

    async def move_rotation(self, rotation_id: UUID, step: Step) -> None:
        await self._connection.execute(
            QUERIES["move_rotation"],
            *(rotation_id, step.cursor.at, step.cursor.token),
            *(step.passed, step.rotated, step.revoked, step.unknown, step.revision, step.request_id),
        )

    async def end_rotation(self, rotation_id: UUID, state: RotationState, at: datetime) -> None:
        await self._connection.execute(QUERIES["end_rotation"], rotation_id, state, at)


def rotation_of(row: asyncpg.Record) -> Rotation:
    """A row of register.token_rotation with its operator's name."""
    minted = row["minted_from"] is not None
    return Rotation(
        rotation_id=row["rotation_id"],
        digest=row["digest"],
        operator_id=None if row["operator_id"] is None else OperatorId(row["operator_id"]),
        operator=row["operator"] or "",
        is_pairwise=row["token_kind"] == TokenKind.PAIRWISE,
        minted=Minting(row["minted_from"], row["minted_to"]) if minted else None,
        listed=row["listed"],
        revokes=row["revokes"],
        is_dry_run=row["is_dry_run"],
        reason=row["reason"],
        actor=row["actor"],
        origin=row["origin"],
        correlation_id=row["correlation_id"],
        started_at=row["started_at"],
        state=RotationState(row["state"]),
        gathered_at=row["gathered_at"],
        cursor=Cursor(row["cursor_at"], row["cursor_token"]),
        passed=row["passed"],
        rotated=row["rotated"],
        revoked=row["revoked"],
        unknown=row["unknown"],
        revision=Revision(row["revision"]),
        request_id=None if row["request_id"] is None else RequestId(row["request_id"]),
        ended_at=row["ended_at"],
    )


def _passed(row: asyncpg.Record) -> Passed:
    number = row["person_no"]
    return Passed(
        token=Token(row["token"], row["version"]),
        person_no=None if number is None else PersonNo(number),
        state=row["state"] or "",
        created_at=row["created_at"],
        rotation_id=row["rotation_id"],
    )
