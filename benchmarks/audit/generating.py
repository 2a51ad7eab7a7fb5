"""Filling an audit log with generated entries: right bytes, right hashes, right tiles, signed checkpoints.

Entries are written as COPY BINARY by several processes, a stretch of 65,536 at a time, and spread evenly over seven
years. What the register would do otherwise is left out: a checkpoint every 4,096 entries instead of every second.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from struct import Struct
from typing import Any, Final

import psycopg

from benchmarks.progress import say
from lookup_core.audit import copied
from lookup_core.audit.checking import STRETCH, perfect_root
from lookup_core.audit.tiles import WIDTH, Growing, Tile
from lookup_core.domain.audit_entry import COLUMNS, EPOCH
from lookup_core.domain.merkle import Tree, joined, root
from lookup_core.kernel import notes

YEARS: Final = 7
BEGINS: Final = datetime(2020, 1, 1, tzinfo=UTC)
ENDS: Final = BEGINS.replace(year=BEGINS.year + YEARS)
CHECKPOINT_EVERY: Final = 4_096
AHEAD: Final = 2
_ACTIONS: Final = (
    "exclusion.created",
    "bst.generated",
    "exclusion.read",
    "exclusion.extended",
    "keys.listed",
)
_BEGIN: Final = Struct(">hiqi16siqiq")
_NUMBERED: Final = 14
"""Bytes of a row before its canonical fields."""
_COPY: Final = f"COPY register.audit_entry (entry_id, {', '.join(COLUMNS)}) FROM STDIN (FORMAT BINARY)"
_TILES: Final = "COPY register.audit_tile (level, tile, hashes, root) FROM STDIN"
_QUICK: Final = "SET synchronous_commit = off"
_INDEX: Final = "CREATE INDEX audit_entry_subject ON register.audit_entry (subject, entry_id)"


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch: its entries, the whole log's size, where it is written."""

    begin: int
    end: int
    size: int
    url: str


@dataclass(frozen=True, slots=True)
class Made:
    """What a stretch came to: its leaves after the last whole tile, and roots within it at each checkpoint."""

    begin: int
    end: int
    root: bytes
    roots: list[tuple[int, bytes]]


def fill(url: str, signer: notes.Signer, entries: int, *, processes: int) -> None:
    """Fill an empty log. Raises what psycopg raises."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP INDEX register.audit_entry_subject")
        connection.execute(
            "SELECT register.make_audit_partition(month)"
            " FROM generate_series(%s::timestamptz, %s::timestamptz, interval '1 month') AS month",
            [BEGINS, ENDS],
        )
        connection.execute("UPDATE register.audit_head SET size = %s, origin = %s", [entries, signer.name])
        whole, above = Tree(), Growing()
        for made in _stretches(url, entries, processes):
            _sign(connection, signer, whole, made, entries)
            if made.root:
                whole.append(made.root)
                _keep(connection, above.append(made.root), level=2)
        say("  every entry is in; the index now")
        connection.execute("SET maintenance_work_mem = '1GB'")
        connection.execute(_INDEX)
        connection.execute("VACUUM (FREEZE, ANALYZE) register.audit_entry, register.audit_tile")
        connection.execute("CHECKPOINT")


def _stretches(url: str, entries: int, processes: int) -> Iterator[Made]:
    """Make every stretch, in order of their entries; some are made ahead."""
    parts = (Part(begin, min(begin + STRETCH, entries), entries, url) for begin in range(0, entries, STRETCH))
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        under_way = []
        for part in parts:
            under_way.append(pool.submit(make, part))
            if len(under_way) > processes * AHEAD:
                yield under_way.pop(0).result()
        for each in under_way:
            yield each.result()


def make(part: Part) -> Made:
    """Write one stretch and its tiles. Runs in a process of its own."""
    with psycopg.connect(part.url) as connection:
        connection.execute(_QUICK)
        leaves: list[bytes] = []
        with connection.cursor().copy(_COPY) as copy:
            copy.write(copied.HEADER)
            for begin in range(part.begin, part.end, WIDTH):
                rows = list(_rows(begin, min(begin + WIDTH, part.end), part.size))
                copy.write(b"".join(head + fields for head, fields in rows))
                leaves += (copied.leaf(fields) for _, fields in rows)
            copy.write(copied.TRAILER)
        roots = [perfect_root(leaves[at : at + WIDTH]) for at in range(0, len(leaves) - WIDTH + 1, WIDTH)]
        first = part.begin // WIDTH
        tiles = [
            Tile(0, first + place, b"".join(leaves[place * WIDTH : (place + 1) * WIDTH]), each)
            for place, each in enumerate(roots)
        ]
        whole = perfect_root(roots) if len(leaves) == STRETCH else b""
        if whole:
            tiles.append(Tile(1, part.begin // STRETCH, b"".join(roots), whole))
        _keep(connection, tiles)
    return Made(part.begin, part.end, whole, list(_checkpoints(part.begin, leaves, roots)))


def _rows(begin: int, end: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    """Each row's own beginning, and its canonical fields."""
    random = os.urandom(32 * (end - begin))
    step = (ENDS - BEGINS) / timedelta(microseconds=1) / size
    epoch = (BEGINS - EPOCH) // timedelta(microseconds=1)
    for place, number in enumerate(range(begin, end)):
        salt, request = random[place * 32 : place * 32 + 16], random[place * 32 + 16 : place * 32 + 32]
        at = epoch + int(number * step)
        row = _BEGIN.pack(11, 8, number, 16, salt, 8, at, 8, number)
        subject = request.hex()
        texts = (
            f"key {number % 40:016x}",
            _ACTIONS[number % 5],
            f"{subject[:8]}-{subject[8:12]}-7{subject[13:16]}-{subject[16:20]}-{subject[20:]}",
            f"ipv4:10.0.{number % 250}.7:{30_000 + number % 20_000}",
            "",
            salt.hex(),
        )
        written = b"".join(len(text).to_bytes(4, "big") + text.encode("ascii") for text in texts)
        yield row[:_NUMBERED], row[_NUMBERED:] + b"\0\0\0\x10" + request + written


def _checkpoints(begin: int, leaves: list[bytes], roots: list[bytes]) -> Iterator[tuple[int, bytes]]:
    tree = Tree()
    for each in roots:
        tree.append(each)
        if tree.size * WIDTH % CHECKPOINT_EVERY == 0:
            yield begin + tree.size * WIDTH, tree.root()
    if len(leaves) % CHECKPOINT_EVERY:
        rest = leaves[len(roots) * WIDTH :]
        yield begin + len(leaves), joined([*tree.subtrees, root(rest)]) if rest else tree.root()


def _sign(
    connection: psycopg.Connection[Any], signer: notes.Signer, whole: Tree, made: Made, entries: int
) -> None:
    signed = []
    for size, within in made.roots:
        text = notes.checkpoint_text(signer.name, size, joined([*whole.subtrees, within]))
        made_at = BEGINS + (ENDS - BEGINS) * (size / entries)
        signed.append((size, notes.sign(text, signer), made_at))
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO register.audit_checkpoint (size, note, made_at) VALUES (%s, %s, %s)", signed
        )


def _keep(connection: psycopg.Connection[Any], tiles: list[Tile], *, level: int = 0) -> None:
    with connection.cursor().copy(_TILES) as copy:
        for tile in tiles:
            copy.write_row((tile.level + level, tile.tile, tile.hashes, tile.root))
