"""The root of a segment: from Rust before it is stored, and again in Python from what PostgreSQL sends back."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg
import pytest

from lookup_core._dataplane import LookupLog, read_segment
from lookup_core.domain import merkle
from lookup_core.domain.lookup_segment import COLUMNS, leaf_of, rows_in
from lookup_core.kernel.sql import load_queries
from lookup_core.replica.shipping import Shipping
from tests.support.register_writer import RegisterWriter
from tests.support.services import Database

Noted = tuple[int, int, bytes | None]
CLEAR: Noted = (2, 0, None)
EXCLUDED: Noted = (1, 2, b"t" * 16)
QUERIES = load_queries("lookup_core.registrar.store", "queries.sql")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "log"


@pytest.fixture
def write(directory: Path) -> Callable[..., UUID]:
    def noted(*calls: Sequence[Noted], texts: str = "call", segment_entries: int | None = None) -> UUID:
        replica_id = uuid4()
        log = LookupLog(directory, replica_id.bytes, segment_entries=segment_entries)
        for entries in calls:
            log.note(time.time_ns() // 1_000, b"o" * 16, texts, 2, texts, 3, entries)
        log.close()
        return replica_id

    return noted


@pytest.fixture
def shipping(database: Database, directory: Path) -> Shipping:
    return Shipping(database.replica_url, directory)


async def stored_segments(connection: asyncpg.Connection[asyncpg.Record]) -> list[asyncpg.Record]:
    return list(await connection.fetch("SELECT * FROM register.lookup_segment ORDER BY replica_id, number"))


async def rows_of(connection: asyncpg.Connection[asyncpg.Record], segment: asyncpg.Record) -> Sequence[bytes]:
    """As the registrar reads them."""
    stream = io.BytesIO()
    await connection.copy_from_query(
        QUERIES["segment_rows"],
        *(segment["replica_id"], segment["first_at"], segment["last_at"]),
        *(segment["first_sequence"], segment["last_sequence"], segment["entries"] + 1),
        output=stream,
        format="binary",
    )
    return rows_in(stream.getvalue())


async def test_python_finds_the_root_that_rust_stored(
    register: RegisterWriter, write: Callable[..., UUID], shipping: Shipping
) -> None:
    write([CLEAR, EXCLUDED], [EXCLUDED] * 7, [CLEAR], segment_entries=4, texts="jua kali \u20ac \0 end")
    write(*[[CLEAR, EXCLUDED, CLEAR]] * 700)
    await shipping.flush(20)
    segments = await stored_segments(register.connection)
    assert sorted(segment["entries"] for segment in segments) == [1, 9, 2100]
    for segment in segments:
        rows = await rows_of(register.connection, segment)
        hashes = [merkle.leaf_hash(leaf_of(segment["seed"], row)) for row in rows]
        assert len(rows) == segment["entries"]
        assert merkle.root(hashes) == segment["root"]


def test_both_sides_name_the_same_columns(directory: Path, write: Callable[..., UUID]) -> None:
    write([CLEAR])
    (path,) = directory.glob("*.segment")
    assert tuple(read_segment(path).columns) == COLUMNS


async def test_every_segment_has_a_seed_of_its_own_and_waits_to_be_sealed(
    register: RegisterWriter, write: Callable[..., UUID], shipping: Shipping
) -> None:
    replica_id = write([CLEAR], [CLEAR], segment_entries=1)
    await shipping.flush(5)
    first, second = await stored_segments(register.connection)
    assert first["seed"] != second["seed"]
    assert first["root"] != second["root"]
    waiting = await register.connection.fetch(
        "SELECT * FROM register.lookup_segment_unsealed ORDER BY number"
    )
    assert [(row["replica_id"], row["number"]) for row in waiting] == [(replica_id, 1), (replica_id, 2)]


async def test_a_segment_shipped_again_keeps_its_seed_and_waits_once(
    register: RegisterWriter, write: Callable[..., UUID], shipping: Shipping
) -> None:
    write([CLEAR, EXCLUDED])
    (path,) = shipping.waiting()
    kept = path.read_bytes()
    await shipping.flush(5)
    before = await stored_segments(register.connection)
    path.write_bytes(kept)
    await shipping.flush(5)
    assert await stored_segments(register.connection) == before
    assert await register.connection.fetchval("SELECT count(*) FROM register.lookup_segment_unsealed") == 1
