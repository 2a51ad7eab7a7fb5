"""The registrar's use cases for tests, on a real store or on the fake one, without gRPC and without replicas.

Whatever a test does not name is filled in: callers, request ids, people whom nobody has named yet.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import asyncpg

from lookup_core.domain.chain import Digest, extended, genesis
from lookup_core.domain.identity import Identity, identity_from
from lookup_core.domain.ids import ExclusionId, OperatorId, RequestId, Revision, StoreId
from lookup_core.domain.period import Period, date_in_kenya
from lookup_core.kernel.clock import Clock, SystemClock
from lookup_core.kernel.keyring import KeyRing
from lookup_core.kernel.ring_in_use import RingInUse
from lookup_core.registrar.acknowledgement import NoReplicas
from lookup_core.registrar.answers import Registered, ShownKey
from lookup_core.registrar.asked import Asked, Caller, digest_of
from lookup_core.registrar.audited_reads import AuditedReads
from lookup_core.registrar.blind_in_use import BlindInUse
from lookup_core.registrar.count_exclusions import CountExclusions
from lookup_core.registrar.create_key import Created, CreateKey, NewKey
from lookup_core.registrar.extend_exclusion import ExtendExclusion, Extension
from lookup_core.registrar.generate_token import Generated, GenerateToken
from lookup_core.registrar.get_exclusion import GetExclusion
from lookup_core.registrar.list_keys import KeysWanted, ListKeys
from lookup_core.registrar.pages import Page
from lookup_core.registrar.people.pairwise import ShownTokens
from lookup_core.registrar.people.personal_data import Told
from lookup_core.registrar.people.tokens import Nonce, fresh_nonce
from lookup_core.registrar.recording import Acknowledgement, Ledger, Recording
from lookup_core.registrar.register_exclusion import RegisterExclusion, Registration
from lookup_core.registrar.revoke_key import RevokeKey
from lookup_core.registrar.secrets_in_use import Secrets
from lookup_core.registrar.store.founding import found
from lookup_core.registrar.store.pool import borrowed, open_pool
from lookup_core.registrar.store.port import Store
from lookup_core.registrar.store.postgres import PostgresStore
from lookup_core.registrar.validate_token import Validated, ValidateToken
from tests.support.people import Someone, someone
from tests.support.services import Database

RING = KeyRing.create()


def an_identity(person: Someone | None = None, *, phone: str = "", document: str = "") -> Identity:
    """An identity of `person`, or of just what is named."""
    if person is not None:
        phone, document = person.phone, person.document
    return identity_from(
        phone=phone,
        id_number=document,
        date_of_birth="1990-04-17",
        today=date_in_kenya(SystemClock().now()),
    )


def a_caller(operator_id: OperatorId | None = None, **values: Any) -> Caller:
    told = {"actor": "key test", "origin": "test", "correlation_id": "c-1"} | values
    return Caller(operator_id=operator_id, **told)


@dataclass
class Desk:
    """Every use case over one store."""

    store: Store
    ring: KeyRing = RING
    clock: Clock = field(default_factory=SystemClock)
    acknowledgement: Acknowledgement = field(default_factory=NoReplicas)
    nonce: Nonce = fresh_nonce
    recording: type[Recording] = Recording
    caller: Caller = field(default_factory=a_caller)
    keys: RingInUse | None = None  # where a test rotates it
    blind: BlindInUse | None = None

    def __post_init__(self) -> None:
        self.secrets = Secrets.of(self.keys or self.ring, "test", self.blind)
        ledger, recording = Ledger(self.ring.feed), self.recording(self.store, self.acknowledgement)
        self._register = RegisterExclusion(recording, ledger, self.secrets, self.clock)
        self._extend = ExtendExclusion(recording, ledger, self.clock)
        self._create = CreateKey(recording, ledger, self.secrets, self.clock)
        self.revoke = RevokeKey(recording, ledger)
        reads = AuditedReads(self.store)
        self._list_keys = ListKeys(self.store, self.secrets, reads)
        self._get = GetExclusion(self.store, reads)
        self.count = CountExclusions(self.store, self.clock)
        self._validate = ValidateToken(self.store, ShownTokens(self.secrets.pairing))
        self._generate = GenerateToken(self.store, ledger, self.secrets, self.clock, self.nonce)

    def asked(
        self, call: str, fields: list[str], request_id: RequestId | None = None, **caller: Any
    ) -> Asked:
        digest = digest_of(self.secrets.request_digest, "operator", call, fields)
        return Asked(request_id or a_request_id(), digest, a_caller(**caller) if caller else self.caller)

    async def register(
        self,
        person: Someone | Identity | None = None,
        period: Period = Period.ONE_YEAR,
        *,
        request_id: RequestId | None = None,
        told: Told = Told(),
        **caller: Any,
    ) -> Registered:
        identity = person if isinstance(person, Identity) else an_identity(person or someone())
        registration = Registration(identity, period, told=told)
        asked = self.asked("Register", registration.fields(), request_id, **caller)
        return await self._register(registration, asked)

    async def extend(
        self, exclusion_id: ExclusionId, period: Period, *, request_id: RequestId | None = None
    ) -> Registered:
        extension = Extension(exclusion_id, period)
        return await self._extend(extension, self.asked("Extend", extension.fields(), request_id))

    async def create_key(self, new: NewKey | None = None, *, request_id: RequestId | None = None) -> Created:
        new = new or NewKey("Simba Bet", ("nser:read",))
        return await self._create(new, self.asked("CreateKey", new.fields(), request_id))

    async def list_keys(self, wanted: KeysWanted) -> Page[ShownKey]:
        return await self._list_keys(wanted, self.caller)

    async def get(self, exclusion_id: ExclusionId) -> Registered:
        return await self._get(exclusion_id, self.caller)

    async def validate(self, text: str, **caller: Any) -> Validated:
        return await self._validate(text, a_caller(**caller) if caller else self.caller)

    async def generate(self, identity: Identity, **caller: Any) -> Generated:
        return await self._generate(identity, a_caller(**caller) if caller else self.caller)

    async def generate_many(self, identities: Sequence[Identity]) -> Sequence[Generated]:
        return await self._generate.many(identities, self.caller)


def a_request_id() -> RequestId:
    return RequestId(uuid4())


@asynccontextmanager
async def desk_on(database: Database, *, largest: int = 10, **parts: Any) -> AsyncIterator[Desk]:
    """The use cases on a founded database, as the role nser_registrar."""
    pool = await open_pool(database.registrar_url, smallest=1, largest=largest)
    try:
        ring = parts.get("ring", RING)
        async with borrowed(pool) as connection:
            founded = await found(connection, ring)
        blind = BlindInUse(parts.get("keys") or ring, founded.live)
        yield Desk(PostgresStore(pool, blind=blind, notify=True), blind=blind, **parts)
    finally:
        pool.terminate()


async def verified_chain(database: Database, ring: KeyRing = RING) -> list[Revision]:
    """The revisions of the feed, whose digests were made again from the beginning; raises when one differs."""
    connection = await asyncpg.connect(database.owner_url)
    try:
        head = await connection.fetchrow("SELECT store_id, revision, digest FROM register.head")
        rows = await connection.fetch(
            "SELECT revision, statements, digest FROM register.change ORDER BY revision"
        )
    finally:
        await connection.close()
    assert head is not None
    digest = genesis(ring.feed, StoreId(head["store_id"]))
    assert rows[0]["revision"] == 0
    assert rows[0]["digest"] == digest
    for row in rows[1:]:
        digest = extended(ring.feed, digest, Revision(row["revision"]), row["statements"])
        assert row["digest"] == digest, f"the chain breaks at revision {row['revision']}"
    assert (rows[-1]["revision"], Digest(head["digest"])) == (head["revision"], digest)
    return [Revision(row["revision"]) for row in rows]
