"""The log in PostgreSQL, read: entries, checkpoints, roots and proofs, each from a few rows however long the log is."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from lookup_core.audit import tiles
from lookup_core.audit.copied import SELECT
from lookup_core.audit.tiles import Growing, Key
from lookup_core.domain.audit_entry import COLUMNS, AuditEntry
from lookup_core.domain.merkle import (
    Node,
    Range,
    complete_subtrees,
    consistency_ranges,
    inclusion_ranges,
    joined,
    leaf_hash,
)

_HEAD: Final = """
SELECT head.size, head.origin, coalesce((SELECT max(size) FROM register.audit_checkpoint), 0) AS sealed
FROM register.audit_head AS head
"""
_TILES: Final = """
SELECT level, tile, hashes FROM register.audit_tile JOIN unnest($1::smallint[], $2::bigint[]) AS wanted(level, tile)
USING (level, tile)
"""
_ROOTS: Final = _TILES.replace("hashes", "root", 1)
_SOME: Final = f"{SELECT} WHERE entry_id = ANY($1::bigint[]) AND at >= $2 AND at < $3 ORDER BY entry_id"
_FOLLOWING: Final = f"{SELECT} WHERE entry_id >= $1 AND at >= $3 ORDER BY entry_id LIMIT $2"
_AROUND: Final = """
SELECT coalesce((SELECT made_at FROM register.audit_checkpoint WHERE size <= $1 ORDER BY size DESC LIMIT 1)
                - interval '1 day', '2000-01-01Z') AS after,
       coalesce((SELECT made_at FROM register.audit_checkpoint WHERE size > $2 ORDER BY size LIMIT 1)
                + interval '1 day', '9999-01-01Z') AS before
"""
"""When entries were written, as the checkpoints before and after them have it: of seven years, a month or two."""
EVER: Final = (datetime(2000, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC))
_CHECKPOINT: Final = """
SELECT note || coalesce((SELECT string_agg(line, '' ORDER BY witness) FROM register.audit_cosignature AS said
                         WHERE said.size = made.size), '') AS note, made.size
FROM register.audit_checkpoint AS made WHERE made.size >= $1 ORDER BY made.size LIMIT 1
"""
_NEWEST: Final = _CHECKPOINT.replace("made.size >= $1 ORDER BY made.size", "true ORDER BY made.size DESC")


class LogBroken(Exception):
    """The log contradicts itself: something of it was changed or is missing. Says what."""


class Connection(Protocol):
    """asyncpg's connection, or a pool of them."""

    async def fetch(self, query: str, *args: Any) -> Any: ...
    async def fetchrow(self, query: str, *args: Any) -> Any: ...


@dataclass(frozen=True, slots=True)
class Head:
    """How long the log is, up to where checkpoints cover it, and its name."""

    size: int
    sealed: int
    origin: str


@dataclass(frozen=True, slots=True)
class Log:
    """Reads one log. Every method is a few statements; what is sealed never changes, so no snapshot is needed."""

    connection: Connection

    async def head(self) -> Head:
        row = await self.connection.fetchrow(_HEAD)
        return Head(row["size"], row["sealed"], row["origin"] or "")

    async def entry(self, number: int) -> AuditEntry | None:
        rows = await self._rows([number])
        return _entry(rows[0]) if len(rows) == 1 else None

    async def following(self, first: int, count: int) -> Sequence[AuditEntry]:
        """Up to `count` entries from `first` on. Raises LogBroken for a gap."""
        there = min((await self.head()).size - first, count)
        after, _ = await self._around(first, first)
        rows = await self.connection.fetch(_FOLLOWING, first, count, after)
        if [row["entry_id"] for row in rows[:there]] != list(range(first, first + there)):
            # Some clock was a day away from the others: look everywhere before anything is called missing.
            rows = await self.connection.fetch(_FOLLOWING, first, count, EVER[0])
        for number, row in enumerate(rows, first):
            if row["entry_id"] != number:
                raise LogBroken(f"entry {number} is missing or there twice")
        return [_entry(row) for row in rows]

    async def checkpoint(self, covering: int | None = None) -> tuple[int, str] | None:
        """The newest checkpoint, or the first that covers so many entries: its size, and its note with cosignatures."""
        row = await (
            self.connection.fetchrow(_NEWEST)
            if covering is None
            else self.connection.fetchrow(_CHECKPOINT, covering)
        )
        return None if row is None else (row["size"], row["note"])

    async def root(self, size: int) -> bytes:
        """The root over the first `size` entries."""
        [found] = await self._hashes([(0, size)]) if size else [joined([])]
        return found

    async def inclusion(self, index: int, size: int) -> list[bytes]:
        """The proof that entry `index` is in the log of `size`. Raises ValueError for an entry outside."""
        return await self._hashes(inclusion_ranges(index, size))

    async def consistency(self, old_size: int, new_size: int) -> list[bytes]:
        """The proof that the log of `new_size` begins with that of `old_size`. Raises ValueError."""
        return await self._hashes(consistency_ranges(old_size, new_size))

    async def growing(self, size: int) -> Growing:
        """The right edge of the log at `size`, which must be sealed."""
        levels = tiles.edge_keys(size)
        roots = await self._read(_ROOTS, {key for level in levels for key in level})
        leaves = await self._leaves(range(size - size % tiles.WIDTH, size))
        try:
            edges = [[roots[key] for key in level] for level in levels]
        except KeyError as missing:
            raise LogBroken(f"tile {missing} is missing") from None
        return Growing(size, [list(leaves.values()), *edges])

    async def nodes(self, nodes: Iterable[Node]) -> list[bytes]:
        """The hashes of complete subtrees."""
        return await self._joined([[node] for node in nodes])

    async def _hashes(self, ranges: Sequence[Range]) -> list[bytes]:
        """The roots of ranges of leaves."""
        return await self._joined([list(complete_subtrees(*each)) for each in ranges])

    async def _joined(self, subtrees: Sequence[Sequence[Node]]) -> list[bytes]:
        nodes = [node for nodes in subtrees for node in nodes]
        sealed = (await self.head()).sealed
        needed = tiles.needs(nodes, sealed)
        kept = await self._read(_TILES, needed.tiles)
        roots = await self._read(_ROOTS, needed.roots)
        leaves = await self._leaves(needed.leaves)
        try:
            return [joined(tiles.hash_of(node, kept, roots, leaves) for node in nodes) for nodes in subtrees]
        except KeyError as missing:
            raise LogBroken(f"{missing} is missing") from None

    async def _rows(self, numbers: list[int]) -> Sequence[Any]:
        """The rows of some entries, wherever they are."""
        bounds = await self._around(min(numbers), max(numbers))
        rows: Sequence[Any] = await self.connection.fetch(_SOME, numbers, *bounds)
        return rows if len(rows) == len(numbers) else await self.connection.fetch(_SOME, numbers, *EVER)

    async def _around(self, first: int, last: int) -> tuple[datetime, datetime]:
        row = await self.connection.fetchrow(_AROUND, first, last)
        return row["after"], row["before"]

    async def _read(self, query: str, keys: Collection[Key]) -> dict[Key, bytes]:
        if not keys:
            return {}
        rows = await self.connection.fetch(query, [key.level for key in keys], [key.tile for key in keys])
        return {Key(level, tile): value for level, tile, value in rows}

    async def _leaves(self, numbers: Collection[int]) -> dict[int, bytes]:
        if not numbers:
            return {}
        rows = await self._rows(list(numbers))
        if len(rows) != len(numbers):
            raise LogBroken(f"entries are missing or there twice after {min(numbers)}")
        return {row["entry_id"]: leaf_hash(_entry(row).canonical()) for row in rows}


def _entry(row: Any) -> AuditEntry:
    return AuditEntry(*(row[name] for name in COLUMNS))
