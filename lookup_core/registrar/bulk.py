"""Entering many people at once, straight into the tables: demo data, benchmarks, and a first take-over of an old list.

Keeps what the register promises of its data: dense revisions, the keyed chain, one exclusion for each change, blind
indexes and encrypted personal data as a registration makes them. One chunk is one transaction. Refuses to be a
registration: no outbox rows (nobody is told), no per-person audit (one line for each chunk), no request ids. People
whose phone or document the register knows already are passed over, never changed.

A load is in force on every replica once `in_force` has returned.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import asyncpg

from lookup_core.domain import bst, chain
from lookup_core.domain.audit_entry import AuditEntry, new_salt
from lookup_core.domain.blind import BlindKeys, blind_document, blind_phone
from lookup_core.domain.exclusion import State
from lookup_core.domain.identity import Identity
from lookup_core.domain.ids import BlindIndex, PersonNo, Revision
from lookup_core.domain.lease import GUARD_NS, LEASE_NS
from lookup_core.domain.period import RULES, Period, Term, term
from lookup_core.kernel.clock import Clock, SystemClock
from lookup_core.kernel.envelope import PersonCipher
from lookup_core.kernel.errors import SettingsRefused
from lookup_core.kernel.ids import new_id
from lookup_core.kernel.keyring import KeyRing
from lookup_core.registrar.store.pool import QUERIES
from lookup_core.registrar.store.transaction import append
from nser.feed.v1 import feed_pb2
from nser.type.v1 import exclusion_pb2

CHUNK: Final = 2_000
"""People in one transaction: a replica applies what it says in some milliseconds."""
CHANNEL: Final = "nser_change"
PII_VERSION: Final = 1

if TYPE_CHECKING:  # generic in the stubs alone
    Connection = asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]

_COLUMNS: Final = {
    "person": ("person_no",),
    "identifier": ("kind", "blind", "key_version", "person_no"),
    "person_pii": (
        *("person_no", "kek_id", "wrapped_key", "version", "phone", "document", "date_of_birth"),
        *("first_name", "last_name", "manifest"),
    ),
    "bst_token": ("token", "version", "salt_version", "person_no", "created_at"),
    "bst_mapping": ("token", "kind", "blind", "key_version"),
    "exclusion": (
        *(
            "exclusion_id",
            "person_no",
            "period",
            "state",
            "effective_at",
            "expires_at",
            "effective_date",
            "expiry_date",
        ),
        *("channel", "county", "revision"),
    ),
    "exclusion_period": ("exclusion_id", "revision", "period", "begins_at", "ends_at", "legal_source"),
    "change": ("revision", "statements", "digest"),
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One person to enter; without a period they get a token and no personal data is stored."""

    identity: Identity
    period: Period | None = None
    first_name: str = ""
    last_name: str = ""
    county: int | None = None

    def __repr__(self) -> str:
        return "[pii]"


@dataclass(frozen=True, slots=True)
class Loaded:
    """What one chunk did."""

    entered: int
    excluded: int
    known: int  # passed over
    revision: Revision


@dataclass(slots=True)
class _Person:
    """An entry with what the register gives it."""

    entry: Entry
    number: PersonNo
    identifiers: list[tuple[str, BlindIndex]]
    token: bst.Token
    exclusion_id: UUID
    revision: Revision = Revision(0)

    def stated(self) -> feed_pb2.Statement:
        phones = [blind for kind, blind in self.identifiers if kind == "phone"]
        documents = [blind for kind, blind in self.identifiers if kind == "document"]
        person = feed_pb2.PersonStated(
            person_no=self.number,
            phones=phones,
            documents=documents,
            token=self.token.raw,
            risk_level=exclusion_pb2.RISK_LEVEL_UNKNOWN,
        )
        return feed_pb2.Statement(person=person)

    def excluded(self) -> feed_pb2.Statement:
        about = feed_pb2.ExclusionStated(
            exclusion_id=self.exclusion_id.bytes, person_no=self.number, excludes=True
        )
        return feed_pb2.Statement(exclusion=about)


@dataclass(slots=True)
class _Rows:
    """Rows by table, for COPY."""

    of: dict[str, list[tuple[Any, ...]]] = field(default_factory=dict)

    def add(self, table: str, *values: Any) -> None:
        self.of.setdefault(table, []).append(values)

    async def write(self, connection: Connection, *tables: str) -> None:
        for table in tables:
            if records := self.of.get(table):
                await connection.copy_records_to_table(
                    table, records=records, columns=_COLUMNS[table], schema_name="register"
                )


async def load(connection: Connection, ring: KeyRing, entries: Sequence[Entry], *, at: datetime) -> Loaded:
    """Enter one chunk in one transaction. `at` (aware) is when the exclusions begin.

    Raises asyncpg.UniqueViolationError when somebody registers one of these people at the same moment: nothing was
    entered then, and the chunk can be tried again. SettingsRefused for a ring whose master key was retired.
    """
    async with connection.transaction():
        if await connection.fetchval(QUERIES["is_kek_retired"], ring.active_kek):
            raise SettingsRefused(
                f"NSER_KEYRING_FILE: {ring.active_kek}, in use in this ring, was retired. Use the newest ring."
            )
        keys = await _keys_in_use(connection, ring)
        people = await _new_people(connection, ring, keys, entries, at)
        rows = _Rows()
        for person in people:
            _write_person(rows, ring, keys.version, person, at)
        await rows.write(connection, "person", "identifier", "person_pii", "bst_token", "bst_mapping")
        # The counter last: nobody waits for it longer than for what follows (SAFETY.md 10).
        revision = await _state(connection, ring, rows, people, keys.version)
        for person in people:
            if person.entry.period is not None:
                _write_exclusion(rows, person, term(person.entry.period, at))
        await rows.write(connection, "exclusion", "exclusion_period")
        await connection.execute(
            _BIND_OPERATORS, [person.exclusion_id for person in people if person.revision]
        )
        excluded = sum(person.entry.period is not None for person in people)
        await append(connection, [_line(f"{len(people)} people, {excluded} excluded", revision)])
        await connection.execute("SELECT pg_notify($1, $2)", CHANNEL, str(revision))
    return Loaded(len(people), excluded, len(entries) - len(people), revision)


async def analyse(connection: Connection) -> None:
    """Tell PostgreSQL's planner how the tables look now; after a load it would read whole indexes for each person."""
    for table in _COLUMNS:
        await connection.execute(f"ANALYZE register.{table}")


async def in_force(clock: Clock) -> None:
    """Wait until no replica can still clear anybody on data older than what was committed before this call.

    The whole lease and its guard by our own clock: the registrar's rule without looking at the replicas (SAFETY.md 7).
    """
    await clock.sleep((LEASE_NS + GUARD_NS) / 1e9)


_BIND_OPERATORS: Final = """
INSERT INTO register.operator_exclusion (exclusion_id, operator_id, revision)
SELECT e.exclusion_id, o.operator_id, e.revision
FROM register.exclusion e CROSS JOIN register.operator o
WHERE e.exclusion_id = ANY($1) AND o.state = 'active'
"""


def _line(reason: str, revision: Revision) -> AuditEntry:
    return AuditEntry(
        salt=new_salt(),
        at=SystemClock().now(),
        revision=revision,
        request_id=None,
        actor="nser seed",
        action="register.bulk_loaded",
        subject="register",
        origin="set-up",
        reason=reason,
        correlation_id=secrets.token_hex(16),
    )


async def _keys_in_use(connection: Connection, ring: KeyRing) -> BlindKeys:
    """The keys of the blind index. Raises asyncpg.DataError while they are rotated: a load would bind in two forms."""
    head = await connection.fetchrow("SELECT key_version, key_announced FROM register.head")
    if head is None:
        raise asyncpg.DataError("the register has no head: start its registrar once")
    if head["key_announced"] is not None:
        raise asyncpg.DataError("the blind index is being rotated: load when that is finished")
    return ring.blind.of(head["key_version"])


async def _new_people(
    connection: Connection, ring: KeyRing, keys: BlindKeys, entries: Sequence[Entry], at: datetime
) -> list[_Person]:
    """Those of `entries` that the register does not know, with numbers and tokens."""
    keyed = [(entry, _identifiers(keys, entry.identity)) for entry in entries]
    every = {index for _, identifiers in keyed for _, index in identifiers}
    known = await connection.fetch(
        "SELECT DISTINCT blind FROM register.identifier WHERE kind = ANY('{phone,document}') AND blind = ANY($1)",
        every,
    )
    taken: set[bytes] = {row["blind"] for row in known}
    fresh: list[tuple[Entry, list[tuple[str, BlindIndex]]]] = []
    for entry, identifiers in keyed:
        blinds = {index for _, index in identifiers}
        if taken.isdisjoint(blinds):
            taken |= blinds  # twice in one chunk: the first counts
            fresh.append((entry, identifiers))
    numbers = await connection.fetch(
        "SELECT nextval(pg_get_serial_sequence('register.person', 'person_no')) AS n FROM generate_series(1, $1)",
        len(fresh),
    )
    return [
        _Person(entry, PersonNo(row["n"]), identifiers, _token(ring, identifiers, at), new_id())
        for (entry, identifiers), row in zip(fresh, numbers, strict=True)
    ]


def _identifiers(keys: BlindKeys, identity: Identity) -> list[tuple[str, BlindIndex]]:
    found: list[tuple[str, BlindIndex]] = []
    if identity.phone is not None:
        found.append(("phone", blind_phone(keys, identity.phone)))
    if identity.document is not None:
        found.append(("document", blind_document(keys, identity.document)))
    return found


def _token(ring: KeyRing, identifiers: Iterable[tuple[str, BlindIndex]], at: datetime) -> bst.Token:
    fields = [kind.encode() + blind for kind, blind in identifiers]
    return bst.mint(ring.bst_salt.current, fields, at, secrets.token_bytes(bst.NONCE_BYTES))


def _write_person(rows: _Rows, ring: KeyRing, version: int, person: _Person, at: datetime) -> None:
    rows.add("person", person.number)
    token = person.token
    rows.add("bst_token", token.raw, token.version, ring.bst_salt.active, person.number, at)
    for kind, blind in person.identifiers:
        rows.add("identifier", kind, blind, version, person.number)
        rows.add("bst_mapping", token.raw, kind, blind, version)
    entry = person.entry
    if entry.period is None:
        return  # a token alone stores blind indexes only
    wrapped, cipher = PersonCipher.create(ring, person.number)
    identity = entry.identity
    document = f"{identity.document.type} {identity.document.number}" if identity.document else ""
    born = identity.date_of_birth.isoformat() if identity.date_of_birth else ""
    clear = {
        "phone": identity.phone.e164 if identity.phone else "",
        "document": document,
        "date_of_birth": born,
        "first_name": entry.first_name,
        "last_name": entry.last_name,
    }
    fields, manifest = cipher.encrypt_row(
        {column: text for column, text in clear.items() if text}, PII_VERSION
    )
    sealed = (*(fields.get(column) for column in clear), manifest)
    rows.add("person_pii", person.number, wrapped.kek_id, wrapped.wrapped, PII_VERSION, *sealed)


def _write_exclusion(rows: _Rows, person: _Person, agreed: Term) -> None:
    period = person.entry.period
    assert period is not None
    days = (agreed.effective_date, agreed.expiry_date)
    rows.add(
        "exclusion",
        *(
            person.exclusion_id,
            person.number,
            str(period),
            str(State.ACTIVE),
            agreed.effective_at,
            agreed.expires_at,
        ),
        *(*days, "office", person.entry.county, person.revision),
    )
    source = RULES[period].legal_source
    rows.add(
        "exclusion_period",
        *(person.exclusion_id, person.revision, str(period), agreed.effective_at, agreed.expires_at, source),
    )


async def _state(
    connection: Connection, ring: KeyRing, rows: _Rows, people: Sequence[_Person], key_version: int
) -> Revision:
    """Take the counter, and state the chunk in the feed: tokens in one revision, each exclusion in its own."""
    head = await connection.fetchrow(
        "SELECT revision, digest FROM register.head WHERE key_version = $1 AND key_announced IS NULL FOR UPDATE",
        key_version,
    )
    if head is None:  # the phase is read under the counter's lock (SAFETY.md 22)
        raise asyncpg.DataError("a rotation of the blind index has begun: load when that is finished")
    revision, digest = Revision(head["revision"]), chain.Digest(head["digest"])
    tokens = feed_pb2.Change(statements=[person.stated() for person in people if person.entry.period is None])
    changes: list[tuple[feed_pb2.Change, _Person | None]] = [(tokens, None)] if tokens.statements else []
    for person in people:
        if person.entry.period is not None:
            changes.append((feed_pb2.Change(statements=[person.stated(), person.excluded()]), person))  # noqa: PERF401
    for change, about in changes:
        revision = Revision(revision + 1)
        statements = change.SerializeToString(deterministic=True)
        digest = chain.extended(ring.feed, digest, revision, statements)
        rows.add("change", revision, statements, digest)
        if about is not None:
            about.revision = revision
    await rows.write(connection, "change")
    await connection.execute("UPDATE register.head SET revision = $1, digest = $2", revision, digest)
    return revision
