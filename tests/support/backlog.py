"""Many changes written straight into the feed, rightly chained: a replica that was away must page through them."""

from __future__ import annotations

from uuid import uuid4

import asyncpg

from lookup_core.domain import chain
from lookup_core.domain.ids import Revision
from lookup_core.kernel.keyring import KeyRing
from nser.feed.v1 import feed_pb2

FIRST_PERSON = 200_000_000
"""Numbers that the register does not give out in a test."""


async def write_backlog(owner_url: str, ring: KeyRing, count: int) -> None:
    """State `count` more people in the feed, each in a revision of their own, in one transaction."""
    connection = await asyncpg.connect(owner_url)
    try:
        async with connection.transaction():
            head = await connection.fetchrow("SELECT revision, digest FROM register.head FOR UPDATE")
            assert head is not None
            revision, digest = Revision(head["revision"]), chain.Digest(head["digest"])
            rows = []
            for number in range(count):
                revision = Revision(revision + 1)
                statements = _stated(FIRST_PERSON + number)
                digest = chain.extended(ring.feed, digest, revision, statements)
                rows.append((revision, statements, digest))
            await connection.copy_records_to_table(
                "change", schema_name="register", records=rows, columns=("revision", "statements", "digest")
            )
            await connection.execute("UPDATE register.head SET revision = $1, digest = $2", revision, digest)
    finally:
        await connection.close()


def _stated(person_no: int) -> bytes:
    person = feed_pb2.PersonStated(person_no=person_no, phones=[uuid4().bytes])
    return feed_pb2.Change(statements=[feed_pb2.Statement(person=person)]).SerializeToString()
