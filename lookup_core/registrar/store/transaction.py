"""A writing transaction on PostgreSQL. Says what to read and write; the use cases decide what."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from lookup_core.domain.audit_entry import COLUMNS, AuditEntry, new_salt
from lookup_core.domain.blind import LiveVersions
from lookup_core.domain.bst import Token
from lookup_core.domain.chain import Digest
from lookup_core.domain.ids import BlindIndex, ExclusionId, KeyId, OperatorId, PersonNo, RequestId, Revision
from lookup_core.domain.lookup_segment import SealedSegment
from lookup_core.domain.pairwise import TokenKind
from lookup_core.kernel.errors import AuditUnavailable
from lookup_core.registrar.blind_in_use import BlindInUse
from lookup_core.registrar.people.identifiers import Identifier
from lookup_core.registrar.people.which import Holding
from lookup_core.registrar.store import reading
from lookup_core.registrar.store.faults import NOT_NOW, log
from lookup_core.registrar.store.pool import QUERIES, Connection
from lookup_core.registrar.store.port import Moved
from lookup_core.registrar.store.reading import PII_COLUMNS
from lookup_core.registrar.store.rotating import RotationStatements
from lookup_core.registrar.store.rows import (
    AuditLine,
    Binding,
    Disclosed,
    Head,
    HeldExclusion,
    HeldForm,
    HeldKey,
    HeldOperator,
    KeptAnswer,
    Minted,
    Person,
    Revised,
    SealedPerson,
)
from lookup_core.registrar.store.token_transaction import TokenTransaction


@dataclass(slots=True)
class Progress:
    """How far a write has come, for the one who waits for it. `is_open`: whether it is saved cannot be told now."""

    is_open: bool = False


class PostgresTransaction(RotationStatements, TokenTransaction):
    """The statements of one transaction, on one connection."""

    def __init__(
        self,
        connection: Connection,
        progress: Progress,
        *,
        blind: BlindInUse,
        notify: bool,
        now: Callable[[], datetime],
    ) -> None:
        self._connection = connection
        self._progress = progress
        self._blind = blind
        self._live = blind.live
        self._notify = notify
        self._now = now
        self._lines: list[AuditLine] = []

    @property
    def live(self) -> LiveVersions:
        return self._live

    async def answer_to(self, request_id: RequestId) -> KeptAnswer | None:
        self._progress.is_open = True  # whoever holds this lock may be committing the same request
        await self._lock([_lock_number(b"request", request_id.bytes)])
        self._progress.is_open = False
        row = await self._connection.fetchrow(QUERIES["answer_to"], request_id)
        return None if row is None else KeptAnswer(row["digest"], row["answer"], Revision(row["revision"]))

    # -- people

    async def lock_identifiers(self, identifiers: Collection[Identifier]) -> None:
        version = (
            self._live.oldest
        )  # a form that everybody in this phase of a rotation can make (SAFETY.md 22)
        await self._lock({_lock_number(each.kind.encode(), each.under(version)) for each in identifiers})

    async def holdings(self, identifiers: Collection[Identifier]) -> Sequence[Holding]:
        sought = reading.Sought(identifiers)
        rows = await self._connection.fetch(QUERIES["holdings"], *sought.by_column())
        return [sought.holding(row) for row in rows]

    async def lock_people(self, numbers: Collection[PersonNo]) -> Mapping[PersonNo, Person]:
        if not numbers:
            return {}
        await self._connection.fetch(QUERIES["lock_people"], list(numbers))
        rows = await self._connection.fetch(QUERIES["people"], list(numbers))
        return {person.number: person for person in map(reading.person, rows)}

    async def new_people(self, count: int) -> Sequence[PersonNo]:
        rows = await self._connection.fetch(QUERIES["new_people"], count)
        return [PersonNo(row["person_no"]) for row in rows]

    async def bind(self, bindings: Sequence[Binding]) -> None:
        columns = zip(
            *((each.person_no, each.identifier.kind, each.blind, each.version) for each in bindings),
            strict=True,
        )
        await self._connection.execute(QUERIES["bind"], *columns)

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
        newest = self._live.newest
        mapped = [
            (each.token.raw, one.kind, *one.to_map(newest))
            for each in minted
            if each.token in taken
            for one in each.identifiers
        ]
        if mapped:
            await self._connection.execute(QUERIES["map_tokens"], *zip(*mapped, strict=True))
        return taken

    async def disclose(self, tokens: Collection[Token], operator_id: OperatorId) -> Mapping[Token, Disclosed]:
        by_raw = {token.raw: token for token in tokens}
        rows = await self._connection.fetch(QUERIES["disclose"], sorted(by_raw), operator_id)
        return {by_raw[row["token"]]: Disclosed(row["first_seen_at"], row["is_new"]) for row in rows}

    async def turn_generation(self, number: PersonNo) -> None:
        await self._connection.execute(QUERIES["turn_generation"], number)

    async def personal_data(self, number: PersonNo) -> SealedPerson | None:
        row = await self._connection.fetchrow(QUERIES["personal_data"], number)
        if row is None:
            return None
        return reading.sealed_person(row)

    async def keep_personal_data(self, row: SealedPerson, *, is_new_key: bool) -> bool:
        assert row.key is not None, "what is kept has a key"
        fields = (row.fields.get(column) for column in PII_COLUMNS)
        place = (row.person_no, row.key.kek_id, row.key.wrapped, row.version, row.manifest, is_new_key)
        return await self._connection.fetchval(QUERIES["keep_personal_data"], *place, *fields) is not None

    async def shred_personal_data(self, number: PersonNo) -> datetime | None:
        await self._connection.execute(QUERIES["shred_personal_data"], number)
        shredded_at: datetime | None = await self._connection.fetchval(QUERIES["shredded_at"], number)
        return shredded_at

    async def person_of_token(self, token: Token) -> PersonNo | None:
        number: int | None = await self._connection.fetchval(QUERIES["person_of_token"], token.raw)
        return None if number is None else PersonNo(number)

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

    async def operator_named(self, name: str, new_id: OperatorId, kind: TokenKind) -> HeldOperator:
        await self._connection.execute(QUERIES["enter_operator"], new_id, name, kind)
        row = await self._connection.fetchrow(QUERIES["lock_operator"], name)
        assert row is not None
        return HeldOperator(
            OperatorId(row["operator_id"]), row["name"], row["is_active"], TokenKind(row["token_kind"])
        )

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

    # -- a rotation of the blind index

    async def become_mover(self) -> bool:
        return bool(await self._connection.fetchval(QUERIES["become_mover"]))

    async def older_identifiers(self, after: PersonNo, count: int) -> Sequence[HeldForm]:
        rows = await self._connection.fetch(QUERIES["older_identifiers"], self._live.oldest, after, count)
        return [reading.held_form(row) for row in rows]

    async def lock_forms(self, forms: Collection[HeldForm]) -> Sequence[HeldForm]:
        await self._lock({_lock_number(each.kind.encode(), each.blind) for each in forms})
        rows = await self._connection.fetch(
            QUERIES["held_in_forms"], [each.kind for each in forms], [each.blind for each in forms]
        )
        return [reading.held_form(row) for row in rows]

    async def older_mappings(self, numbers: Collection[PersonNo]) -> Sequence[HeldForm]:
        rows = await self._connection.fetch(QUERIES["older_mappings"], list(numbers), self._live.oldest)
        return [reading.held_form(row, row["token"]) for row in rows]

    async def put_newer_forms(self, moved: Sequence[tuple[HeldForm, BlindIndex]]) -> None:
        version = self._live.newest
        for query, rows in (
            ("rewrap_identifiers", [each for each in moved if each[0].token is None]),
            ("rewrap_mappings", [each for each in moved if each[0].token is not None]),
        ):
            if rows:
                columns = zip(
                    *((old.token or old.person_no, old.kind, old.blind, new) for old, new in rows),
                    strict=True,
                )
                await self._connection.execute(QUERIES[query], *columns, version)

    async def has_older(self) -> bool:
        return bool(await self._connection.fetchval(QUERIES["has_older"], self._live.newest))

    async def announce_version(self, version: int, check: bytes) -> None:
        await self._connection.execute(QUERIES["announce_version"], version, check)

    async def finish_version(self, version: int) -> None:
        await self._connection.execute(QUERIES["finish_version"], version)

    # -- the lookup log

    async def take_unsealed(self, count: int) -> Sequence[SealedSegment]:
        rows = await self._connection.fetch(QUERIES["unsealed_segments"], count)
        return [reading.sealed_segment(row) for row in rows]

    # -- the revision

    async def position(self) -> Revision:
        return Revision(await self._connection.fetchval(QUERIES["position"]))

    async def take_counter(self) -> Head:
        row = await self._connection.fetchrow(QUERIES["take_counter"])
        if row is None:
            raise LookupError("the register has no head: it was never founded")
        self.refuse_other_versions(reading.live_versions(row))
        return Head(Revision(row["revision"]), Digest(row["digest"]))

    def refuse_other_versions(self, live: LiveVersions) -> None:
        """Raise Moved where this transaction was prepared for another phase of a rotation (SAFETY.md 22)."""
        self._blind.see(live)
        if live != self._live:
            raise Moved

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
        """Kept until the end of the transaction: the log's counter is the last lock of all."""
        self._lines += lines

    async def write_audit(self) -> None:
        """Give the lines their places in the log, just before the commit. Raises AuditUnavailable."""
        if not self._lines:
            return
        at = self._now()
        try:
            await append(self._connection, [_entry(line, at) for line in self._lines])
        except (*NOT_NOW, asyncpg.DeadlockDetectedError, asyncpg.SerializationError):
            raise
        except asyncpg.PostgresError as fault:
            log.error("audit.refused", cause=type(fault).__name__, sqlstate=fault.sqlstate)
            raise AuditUnavailable from fault

    async def _lock(self, numbers: Iterable[int]) -> None:
        await self._connection.execute(QUERIES["lock"], sorted(numbers))


def _lock_number(kind: bytes, value: bytes) -> int:
    """The number that a lock on `value` has: everybody sees lock numbers, so it tells nothing of the value."""
    return int.from_bytes(hashlib.sha256(kind + b"\0" + value).digest()[:8], "big", signed=True)


async def append(
    connection: Connection | asyncpg.Connection[asyncpg.Record], entries: Sequence[AuditEntry]
) -> None:
    """Append entries to the audit log; from here to the commit every other writer waits."""
    columns = ([getattr(entry, name) for entry in entries] for name in COLUMNS)
    await connection.execute(QUERIES["audit"], *columns)


def _entry(line: AuditLine, at: datetime) -> AuditEntry:
    caller = line.caller
    return AuditEntry(
        salt=new_salt(),
        at=at,
        revision=line.revision,
        request_id=line.request_id,
        actor=caller.actor,
        action=line.action,
        subject=line.subject,
        origin=caller.origin,
        reason=line.reason,
        correlation_id=caller.correlation_id,
    )
