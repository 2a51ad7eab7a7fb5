"""Writes a register as a registrar would, table rows and chained changes in one transaction, without a registrar.

For tests of the read side: they say what the register holds, and what is wrong with it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Self
from uuid import UUID, uuid4

import asyncpg

from lookup_core.domain import chain
from lookup_core.domain.blind import blind_document, blind_phone
from lookup_core.domain.document import DocumentType, parse_document
from lookup_core.domain.ids import PersonNo, Revision
from lookup_core.domain.phone import parse_phone
from lookup_core.kernel import apikey
from lookup_core.kernel.keyring import KeyRing
from nser.feed.v1 import feed_pb2
from tests.support.founding import Key

if TYPE_CHECKING:  # generic in the stubs alone
    Connection = asyncpg.Connection[asyncpg.Record]


@dataclass(frozen=True, slots=True)
class Known:
    """A person in the register, as the writer knows them."""

    number: PersonNo
    phones: tuple[str, ...] = ()
    documents: tuple[str, ...] = ()
    token: bytes = b""
    exclusions: frozenset[UUID] = field(default_factory=frozenset)


class RegisterWriter:
    """One connection as the register's owner."""

    def __init__(self, connection: Connection, ring: KeyRing) -> None:
        self.connection = connection
        self.ring = ring

    @classmethod
    @asynccontextmanager
    async def to(cls, owner_url: str, ring: KeyRing) -> AsyncIterator[Self]:
        connection = await asyncpg.connect(owner_url)
        try:
            await connection.execute("SET synchronous_commit = off")  # tests do not wait for standbys
            yield cls(connection, ring)
        finally:
            await connection.close()

    # -- what a registrar does

    async def person(
        self, phone: str = "", document: str = "", *, token: bytes = b"", excluded: bool = False
    ) -> Known:
        """Enter a person, and one exclusion of theirs when `excluded`."""
        async with self.connection.transaction():
            number = PersonNo(
                await self.connection.fetchval(
                    "INSERT INTO register.person DEFAULT VALUES RETURNING person_no"
                )
            )
            known = Known(number, (phone,) if phone else (), (document,) if document else (), token)
            for kind, blind in self._blinds(known):
                await self.connection.execute(
                    "INSERT INTO register.identifier (kind, blind, key_version, person_no) VALUES ($1, $2, 1, $3)",
                    *(kind, blind, number),
                )
            if token:
                await self.connection.execute(
                    "INSERT INTO register.bst_token (token, person_no) VALUES ($1, $2)", token, number
                )
            statements = [self._stated(known)]
            if excluded:
                exclusion_id = await self._insert_exclusion(number)
                statements.append(_excludes(exclusion_id, number, excludes=True))
                known = replace(known, exclusions=frozenset({exclusion_id}))
            await self.change(*statements)
        return known

    async def exclude(self, known: Known) -> Known:
        """Enter one more exclusion of a person."""
        async with self.connection.transaction():
            exclusion_id = await self._insert_exclusion(known.number)
            await self.change(_excludes(exclusion_id, known.number, excludes=True))
        return replace(known, exclusions=known.exclusions | {exclusion_id})

    async def release(self, known: Known, exclusion_id: UUID) -> Known:
        """Release one exclusion of a person."""
        async with self.connection.transaction():
            await self.connection.execute(
                "UPDATE register.exclusion SET state = 'released', released_at = now() WHERE exclusion_id = $1",
                exclusion_id,
            )
            await self.change(_excludes(exclusion_id, known.number, excludes=False))
        return replace(known, exclusions=known.exclusions - {exclusion_id})

    async def revoke(self, key: Key) -> Revision:
        """Revoke an API key."""
        async with self.connection.transaction():
            await self.connection.execute(
                "UPDATE register.api_key SET state = 'revoked', revoked_at = now() WHERE key_id = $1",
                key.key_id,
            )
            operator_id = await self.connection.fetchval(
                "SELECT operator_id FROM register.api_key WHERE key_id = $1", key.key_id
            )
            stated = feed_pb2.KeyStated(
                key_id=key.key_id,
                mac=apikey.mac(self.ring.pepper, key.text),
                operator_id=operator_id.bytes,
                scopes=key.scopes,
                requests_per_second=key.requests_per_second,
                people_per_second=key.people_per_second,
                active=False,
            )
            return await self.change(feed_pb2.Statement(key=stated))

    async def change(self, *statements: feed_pb2.Statement) -> Revision:
        """Take the next revision with `statements`, chained, and wake the replicas."""
        head = await self.connection.fetchrow("SELECT revision, digest FROM register.head FOR UPDATE")
        assert head is not None
        revision = Revision(head["revision"] + 1)
        stored = feed_pb2.Change(statements=statements).SerializeToString()
        digest = chain.extended(self.ring.feed, chain.Digest(head["digest"]), revision, stored)
        await self.write(revision, stored, digest)
        return revision

    # -- what nobody may do

    async def write(self, revision: Revision, stored: bytes, digest: bytes) -> None:
        """Write a change as it is given: with a gap, or forged."""
        async with self.connection.transaction():
            await self.connection.execute(
                "INSERT INTO register.change (revision, statements, digest, request_id) VALUES ($1, $2, $3, $4)",
                *(revision, stored, digest, uuid4()),
            )
            await self.connection.execute(
                "UPDATE register.head SET revision = $1, digest = $2", revision, digest
            )
            await self.connection.execute("SELECT pg_notify('nser_change', $1)", str(revision))

    async def lose(self, revisions: int) -> None:
        """Put the store back behind its own past, as a stale backup would."""
        await self.connection.execute(
            "DELETE FROM register.change WHERE revision > (SELECT revision FROM register.head) - $1",
            revisions,
        )
        await self.connection.execute(
            "UPDATE register.head SET (revision, digest) = "
            "(SELECT c.revision, c.digest FROM register.change c ORDER BY c.revision DESC LIMIT 1)"
        )

    # -- inside

    def _blinds(self, known: Known) -> Sequence[tuple[str, bytes]]:
        keys = self.ring.blind
        phones = [("phone", blind_phone(keys, parse_phone(phone))) for phone in known.phones]
        return phones + [
            ("document", blind_document(keys, parse_document(DocumentType.NATIONAL_ID, number)))
            for number in known.documents
        ]

    def _stated(self, known: Known) -> feed_pb2.Statement:
        blinds = self._blinds(known)
        person = feed_pb2.PersonStated(
            person_no=known.number,
            phones=[blind for kind, blind in blinds if kind == "phone"],
            documents=[blind for kind, blind in blinds if kind == "document"],
            token=known.token,
        )
        return feed_pb2.Statement(person=person)

    async def _insert_exclusion(self, number: PersonNo) -> UUID:
        exclusion_id = uuid4()
        await self.connection.execute(
            "INSERT INTO register.exclusion (exclusion_id, person_no, period, state, effective_at, effective_date, "
            "channel, revision) VALUES ($1, $2, 'permanent', 'active', now(), current_date, 'api', 0)",
            *(exclusion_id, number),
        )
        return exclusion_id


def _excludes(exclusion_id: UUID, number: PersonNo, *, excludes: bool) -> feed_pb2.Statement:
    stated = feed_pb2.ExclusionStated(exclusion_id=exclusion_id.bytes, person_no=number, excludes=excludes)
    return feed_pb2.Statement(exclusion=stated)
