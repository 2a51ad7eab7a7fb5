"""Checking a stretch of the log: 65,536 entries, everything that hangs on them, in a process of its own.

Nothing that the database says is taken on trust but what a public key signed: hashes are made again from the entries,
tiles from the hashes, and roots from both.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final

import asyncpg

from lookup_core.audit import copied
from lookup_core.audit.tiles import WIDTH, split
from lookup_core.domain.merkle import Tree, joined, root
from lookup_core.kernel import notes

STRETCH: Final = WIDTH * WIDTH
CONNECT_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong, and the first entry that it concerns."""

    entry: int
    what: str


@dataclass(frozen=True, slots=True)
class Claim:
    """What a signed checkpoint says, and the root over this stretch up to it; the parent knows what is before."""

    size: int
    root: bytes
    within: bytes


@dataclass(slots=True)
class Checked:
    """What came of one stretch."""

    begin: int
    entries: int = 0
    root: bytes = b""
    """Of a whole stretch."""
    claims: list[Claim] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Stretch:
    """Entries from `begin` to before `end`; those before `sealed` are under a checkpoint."""

    begin: int
    end: int
    sealed: int


_ENTRIES: Final = f"{copied.SELECT} WHERE entry_id >= $1 AND entry_id < $2 ORDER BY entry_id"
_TILES: Final = (
    "SELECT tile, hashes, root FROM register.audit_tile WHERE level = $1 AND tile >= $2 AND tile < $3"
)
_CHECKPOINTS: Final = (
    "SELECT size, note FROM register.audit_checkpoint WHERE size > $1 AND size <= $2 ORDER BY size"
)


class Checker:
    """Checks stretches over one connection."""

    def __init__(self, connection: asyncpg.Connection[Any], verifiers: Sequence[notes.Verifier]) -> None:
        self._connection = connection
        self._verifiers = verifiers

    async def check(self, stretch: Stretch) -> Checked:
        checked = Checked(stretch.begin)
        leaves = await self._leaves(stretch, checked)
        roots = [perfect_root(leaves[at : at + WIDTH]) for at in range(0, len(leaves) - WIDTH + 1, WIDTH)]
        await self._compare_tiles(stretch, leaves, roots, checked)
        await self._read_checkpoints(stretch, leaves, roots, checked)
        if len(leaves) == STRETCH:
            checked.root = perfect_root(roots)
        return checked

    async def _leaves(self, stretch: Stretch, checked: Checked) -> list[bytes]:
        """The leaf hashes as far as the entries go without a gap."""
        leaves: list[bytes] = []
        stream = copied.Copied()

        async def take(arrived: bytes) -> None:
            expected = stretch.begin + len(leaves)
            for number, fields in stream.rows(arrived):
                if number == expected:
                    leaves.append(copied.leaf(fields))
                    expected += 1
                elif not checked.findings:
                    twice = number < expected
                    what = "there twice" if twice else "missing"
                    checked.findings.append(Finding(number if twice else expected, f"is {what}"))

        try:
            await self._connection.copy_from_query(
                _ENTRIES, stretch.begin, stretch.end, output=take, format="binary"
            )
        except ValueError as error:
            checked.findings.append(Finding(stretch.begin + len(leaves), f"cannot be read: {error}"))
        checked.entries = len(leaves)
        if not checked.findings and len(leaves) < stretch.end - stretch.begin:
            checked.findings.append(Finding(stretch.begin + len(leaves), "is missing"))
        return leaves

    async def _compare_tiles(
        self, stretch: Stretch, leaves: list[bytes], roots: list[bytes], checked: Checked
    ) -> None:
        begin, end = stretch.begin // WIDTH, min(stretch.sealed, stretch.end) // WIDTH
        kept = {row["tile"]: row for row in await self._connection.fetch(_TILES, 0, begin, max(begin, end))}
        for place, found in enumerate(roots[: end - begin]):
            tile, first = begin + place, stretch.begin + place * WIDTH
            row = kept.get(tile)
            if row is None:
                checked.findings.append(Finding(first, "has no tile in the sealed log"))
                return
            ours = leaves[place * WIDTH : (place + 1) * WIDTH]
            if row["hashes"] != b"".join(ours):
                wrong = next(at for at, hash_ in enumerate(split(row["hashes"])) if hash_ != ours[at])
                checked.findings.append(Finding(first + wrong, "is not what was sealed"))
                return
            if row["root"] != found:
                checked.findings.append(Finding(first, f"begins a tile ({tile}) with a false root"))
                return
        if len(roots) == WIDTH and stretch.begin + STRETCH <= stretch.sealed:
            above = stretch.begin // STRETCH
            row = await self._connection.fetchrow(_TILES, 1, above, above + 1)
            if row is None or row["hashes"] != b"".join(roots) or row["root"] != perfect_root(roots):
                checked.findings.append(
                    Finding(stretch.begin, f"begins a false or missing tile (1, {above})")
                )

    async def _read_checkpoints(
        self, stretch: Stretch, leaves: list[bytes], roots: list[bytes], checked: Checked
    ) -> None:
        tree = Tree()
        for row in await self._connection.fetch(_CHECKPOINTS, stretch.begin, stretch.end):
            size: int = row["size"]
            within = size - stretch.begin
            if within > len(leaves):
                return  # the gap is told already
            try:
                said = notes.parse_checkpoint(notes.open(row["note"], *self._verifiers))
            except ValueError as error:
                checked.findings.append(Finding(size - 1, f"ends a checkpoint of {size}: {error}"))
                continue
            while tree.size < within // WIDTH:
                tree.append(roots[tree.size])
            rest = leaves[within - within % WIDTH : within]
            partial = joined([*tree.subtrees, root(rest)] if rest else tree.subtrees)
            if said.size != size:
                checked.findings.append(
                    Finding(size - 1, f"ends a checkpoint that was signed for {said.size} entries")
                )
            else:
                checked.claims.append(Claim(size, said.root, partial))


def perfect_root(hashes: Sequence[bytes]) -> bytes:
    """The root over a power of two of hashes."""
    level = list(hashes)
    while len(level) > 1:
        level = [sha256(b"\1" + left + right).digest() for left, right in zip(*_halves(level), strict=True)]
    return level[0]


def _halves(level: list[bytes]) -> tuple[list[bytes], list[bytes]]:
    return level[::2], level[1::2]


# -- in a worker process


class Worker:
    """One connection and one event loop for as long as the process lives."""

    def __init__(self, url: str, keys: Sequence[str]) -> None:
        self._runner = asyncio.Runner()
        verifiers = [notes.Verifier.parse(key) for key in keys]
        connection = self._runner.run(connect(url))
        self._checker = Checker(connection, verifiers)

    def check(self, stretch: Stretch) -> Checked:
        return self._runner.run(self._checker.check(stretch))


async def connect(url: str) -> asyncpg.Connection[Any]:
    settings = {"application_name": "nser audit verify", "statement_timeout": "0"}
    return await asyncpg.connect(url, timeout=CONNECT_S, server_settings=settings)


_workers: list[Worker] = []


def begin_worker(url: str, keys: Sequence[str]) -> None:
    _workers[:] = [Worker(url, keys)]


def check_stretch(stretch: Stretch) -> Checked:
    return _workers[0].check(stretch)


def stretches(size: int, sealed: int) -> Iterator[Stretch]:
    for begin in range(0, size, STRETCH):
        yield Stretch(begin, min(begin + STRETCH, size), sealed)
