"""A writing transaction on PostgreSQL. Says what to read and write; the use cases decide what."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import asyncpg

from lookup_core.domain.bst import Token
from lookup_core.domain.chain import Digest
from lookup_core.domain.ids import ExclusionId, KeyId, OperatorId, PersonNo, RequestId, Revision
from lookup_core.kernel.envelope import WrappedKey
from lookup_core.kernel.errors import AuditUnavailable
from lookup_core.registrar.people.identifiers import Identifier
from lookup_core.registrar.people.which import Holding
from lookup_core.registrar.store import reading
from lookup_core.registrar.store.faults import NOT_NOW, log
from lookup_core.registrar.store.pool import QUERIES, Connection
from lookup_core.registrar.store.rows import (
    AuditLine,
    Head,
    HeldExclusion,
    HeldKey,
    HeldOperator,
    KeptAnswer,
    Minted,
    Person,
    Revised,
    SealedPerson,
)
from lookup_core.registrar.store.token_transaction import TokenTransaction

PII_COLUMNS = (
    "phone",
    "document",
    "date_of_birth",
    "first_name",
    "last_name",
    "email",
    "support_person",
    "verification_receipt",
)


@dataclass(slots=True)
class Progress:
    """How far a write has come, for the one who waits for it. `is_open`: whether it is saved cannot be told now."""

    is_open: bool = False


class PostgresTransaction(TokenTransaction):
    """The statements of one transaction, on one connection."""

    def __init__(self, connection: Connection, progress: Progress, *, key_version: int, notify: bool) -> None:
        self._connection = connection
        self._progress = progress
        self._key_version = key_version
        self._notify = notify

    async def answer_to(self, request_id: RequestId) -> KeptAnswer | None:
        self._progress.is_open = True  # whoever holds this lock may be committing the same request
        await self._lock([_lock_number(b"request", request_id.bytes)])
        self._progress.is_open = False
        row = await self._connection.fetchrow(QUERIES["answer_to"], request_id)
        return None if row is None else KeptAnswer(row["digest"], row["answer"], Revision(row["revision"]))

    # -- people

    async def lock_identifiers(self, identifiers: Collection[Identifier]) -> None:
        await self._lock({_lock_number(each.kind.encode(), each.blind) for each in identifiers})

    async def holdings(self, identifiers: Collection[Identifier]) -> Sequence[Holding]:
        rows = await self._connection.fetch(QUERIES["holdings"], *reading.by_column(identifiers))
        return [reading.holding(row) for row in rows]

    async def lock_people(self, numbers: Collection[PersonNo]) -> Mapping[PersonNo, Person]:
        if not numbers:
            return {}
        await self._connection.fetch(QUERIES["lock_people"], list(numbers))
        rows = await self._connection.fetch(QUERIES["people"], list(numbers))
        return {person.number: person for person in map(reading.person, rows)}

    async def new_people(self, count: int) -> Sequence[PersonNo]:
        rows = await self._connection.fetch(QUERIES["new_people"], count)
        return [PersonNo(row["person_no"]) for row in rows]

    async def bind(self, bindings: Sequence[tuple[PersonNo, Identifier]]) -> None:
        kinds, blinds = reading.by_column(identifier for _, identifier in bindings)
        numbers = [number for number, _ in bindings]
        await self._connection.execute(QUERIES["bind"], numbers, kinds, blinds, self._key_version)

    async def insert_tokens(self, minted: Sequence[Minted]) -> Collection[Token]:
        rows = await self._connection.fetch(
            QUERIES["insert_tokens"],
            [each.token.raw for each in minted],
            [each.person_no for each in minted],
            [each.created_at for each in minted],
            [each.token.version for each in minted],
            [each.salt_version for each in minted],
            [None if each.replaces is None else each.replaces.raw for each in minted],
            [each.rotation_id for each in minted],
        )
        raw = {row["token"] for row in rows}
        taken = {each.token for each in minted if each.token.raw in raw}
        mapped = [(each.token.raw, one) for each in minted if each.token in taken for one in each.identifiers]
        kinds, blinds = reading.by_column(one for _, one in mapped)
        tokens = [token for token, _ in mapped]
        await self._connection.execute(QUERIES["map_tokens"], tokens, kinds, blinds, self._key_version)
        return taken

    async def disclose(self, tokens: Collection[Token], operator_id: OperatorId) -> None:
        await self._connection.execute(
            QUERIES["disclose"], sorted(token.raw for token in tokens), operator_id
        )

    async def personal_data(self, number: PersonNo) -> SealedPerson | None:
        row = await self._connection.fetchrow(QUERIES["personal_data"], number)
        if row is None:
            return None
        fields = {column: row[column] for column in PII_COLUMNS if row[column] is not None}
        return SealedPerson(number, WrappedKey(row["kek_id"], row["wrapped_key"]), row["version"], fields)

    async def keep_personal_data(self, row: SealedPerson) -> None:
        fields = (row.fields.get(column) for column in PII_COLUMNS)
        place = (row.person_no, row.key.kek_id, row.key.wrapped, row.version)
        await self._connection.execute(QUERIES["keep_personal_data"], *place, *fields)

    # -- exclusions

    async def person_of(self, exclusion_id: ExclusionId) -> PersonNo | None:
        number: int | None = await self._connection.fetchval(QUERIES["person_of"], exclusion_id)
        return None if number is None else PersonNo(number)

    async def exclusion(self, exclusion_id: ExclusionId) -> HeldExclusion:
        row = await self._connection.fetchrow(QUERIES["exclusion"], exclusion_id)
        if row is None:
            raise LookupError("an exclusion whose person was read is gone")
        return reading.exclusion(row)

    async def enter_exclusion(self, held: HeldExclusion, legal_source: str) -> None:
        exclusion, term = held.exclusion, held.exclusion.term
        await self._connection.execute(
            QUERIES["enter_exclusion"],
            *(exclusion.id, exclusion.person_no, exclusion.period, exclusion.state),
            *(term.effective_at, term.expires_at, term.effective_date, term.expiry_date),
            *(held.channel, held.county, held.revision, legal_source),
        )

    async def extend_exclusion(self, held: HeldExclusion, legal_source: str) -> None:
        exclusion, term = held.exclusion, held.exclusion.term
        await self._connection.execute(
            QUERIES["extend_exclusion"],
            *(exclusion.id, exclusion.period, exclusion.state, term.expires_at, term.expiry_date),
            *(held.revision, exclusion.agreed_at, legal_source),
        )

    # -- keys

    async def operator_named(self, name: str, new_id: OperatorId) -> HeldOperator:
        await self._connection.execute(QUERIES["enter_operator"], new_id, name)
        row = await self._connection.fetchrow(QUERIES["lock_operator"], name)
        assert row is not None
        return HeldOperator(OperatorId(row["operator_id"]), row["name"], row["is_active"])

    async def enter_key(self, key: HeldKey) -> bool:
        entered = await self._connection.fetchval(
            QUERIES["enter_key"],
            *(key.key_id, key.operator.operator_id, key.mac, key.scopes),
            *(key.requests_per_second, key.people_per_second, key.created_at),
        )
        return entered is not None

    async def lock_key(self, key_id: KeyId) -> HeldKey | None:
        await self._connection.execute(QUERIES["lock_key"], key_id)
        row = await self._connection.fetchrow(QUERIES["key"], key_id)
        return None if row is None else reading.key(row)

    async def revoke_key(self, key_id: KeyId) -> None:
        await self._connection.execute(QUERIES["revoke_key"], key_id)

    # -- the revision

    async def position(self) -> Revision:
        return Revision(await self._connection.fetchval(QUERIES["position"]))

    async def take_counter(self) -> Head:
        row = await self._connection.fetchrow(QUERIES["take_counter"])
        if row is None:
            raise LookupError("the register has no head: it was never founded")
        return Head(Revision(row["revision"]), Digest(row["digest"]))

    async def record(self, revised: Revised) -> None:
        event = revised.event
        told = (
            (None, None, None, None)
            if event is None
            else (event.event_id, event.name, event.person_no, json.dumps(event.data))
        )
        await self._connection.execute(
            QUERIES["record"],
            *(revised.revision, revised.statements, revised.digest),
            *(revised.request_id, revised.request_digest, revised.answer, *told, self._notify),
        )

    async def audit(self, lines: Sequence[AuditLine]) -> None:
        try:
            await self._connection.execute(QUERIES["audit"], *_audit_columns(lines))
        except NOT_NOW:
            raise
        except asyncpg.PostgresError as fault:
            log.error("audit.refused", cause=type(fault).__name__, sqlstate=fault.sqlstate)
            raise AuditUnavailable from fault

    async def _lock(self, numbers: Iterable[int]) -> None:
        await self._connection.execute(QUERIES["lock"], sorted(numbers))


def _lock_number(kind: bytes, value: bytes) -> int:
    """The number that a lock on `value` has: everybody sees lock numbers, so it tells nothing of the value."""
    return int.from_bytes(hashlib.sha256(kind + b"\0" + value).digest()[:8], "big", signed=True)


def _audit_columns(lines: Sequence[AuditLine]) -> tuple[list[object], ...]:
    return (
        [line.caller.actor for line in lines],
        [line.action for line in lines],
        [line.subject for line in lines],
        [line.caller.origin for line in lines],
        [line.reason for line in lines],
        [line.caller.correlation_id for line in lines],
        [line.request_id for line in lines],
        [line.revision for line in lines],
    )
