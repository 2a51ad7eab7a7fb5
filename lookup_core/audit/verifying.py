"""Verifying a whole log: every entry, tile and checkpoint in PostgreSQL, and the checkpoints that are kept outside.

What passes was written before the checkpoint over it was signed, and nothing was changed, taken out, put in or moved
since. Whoever holds the signing key and every witness can make another log; see docs/explanation/audit-log.md.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import time
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

from lookup_core.audit import checking
from lookup_core.audit.checking import Checked, Checker, Finding, Stretch
from lookup_core.audit.log import Log, LogBroken
from lookup_core.audit.tiles import WIDTH, Growing, Tile
from lookup_core.domain.merkle import Tree, joined
from lookup_core.kernel import notes

_STRAY: Final = """
SELECT entry_id FROM register.audit_entry, register.audit_head AS head
WHERE entry_id < 0 OR entry_id >= head.size ORDER BY entry_id LIMIT 1
"""
_TILE: Final = "SELECT hashes, root FROM register.audit_tile WHERE level = $1 AND tile = $2"
_AHEAD: Final = 4
"""Stretches given out for each process: none of them waits, and what came back early is not much."""


@dataclass(frozen=True, slots=True)
class Outside:
    """A checkpoint that somebody else kept: where, and its note."""

    where: str
    note: str


@dataclass(slots=True)
class Verified:
    """What a verification saw."""

    entries: int = 0
    sealed: int = 0
    checkpoints: int = 0
    outside: int = 0
    seconds: float = 0.0
    findings: list[Finding] = field(default_factory=list)

    @property
    def first(self) -> Finding | None:
        return min(self.findings, key=lambda finding: finding.entry, default=None)


Progress = Callable[[int, int], None]


async def verify(
    url: str,
    verifiers: Sequence[notes.Verifier],
    outside: Sequence[Outside] = (),
    *,
    processes: int | None = None,
    progress: Progress = lambda done, of: None,
) -> Verified:
    """Verify the log at `url`, in as many processes as there are processors (0: in this one).

    Raises what asyncpg raises when it cannot be read.
    """
    begun = time.perf_counter()
    connection = await checking.connect(url)
    try:
        verification = _Verification(connection, verifiers)
        await verification.begin()
        if processes == 0:
            await verification.run(Checker(connection, verifiers).check, 1, progress)
        else:
            await verification.run_in(processes or os.cpu_count() or 1, url, progress)
        await verification.compare_outside(outside)
    finally:
        await connection.close()
    verification.verified.seconds = time.perf_counter() - begun
    return verification.verified


class _Verification:
    """Puts the stretches together, in order."""

    def __init__(self, connection: Any, verifiers: Sequence[notes.Verifier]) -> None:
        self.verified = Verified()
        self._connection = connection
        self._log = Log(connection)
        self._verifiers = verifiers
        self._tree = Tree()  # of whole stretches
        self._tiles = Growing()  # likewise: its level 0 is the log's level 2
        self._agreed = 0
        """Up to where the newest checkpoint that fits covers."""

    async def begin(self) -> None:
        head = await self._log.head()
        self.verified.entries, self.verified.sealed = head.size, head.sealed
        stray = await self._connection.fetchval(_STRAY)
        if stray is not None and stray < head.size:
            self._find(stray, "is before the beginning of the log")
        if head.sealed > head.size:
            self._find(head.size, f"is missing: a checkpoint covers {head.sealed} entries")

    async def run_in(self, processes: int, url: str, progress: Progress) -> None:
        """Check the stretches in processes of their own."""
        told = (url, [verifier.text for verifier in self._verifiers])
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(processes, context, checking.begin_worker, told) as pool:
            loop = asyncio.get_running_loop()

            async def check(stretch: Stretch) -> Checked:
                return await loop.run_in_executor(pool, checking.check_stretch, stretch)

            await self.run(check, processes * _AHEAD, progress)

    async def run(
        self, check: Callable[[Stretch], Coroutine[Any, Any, Checked]], at_once: int, progress: Progress
    ) -> None:
        """Check stretch after stretch, up to the first with something wrong."""
        waiting = checking.stretches(self.verified.entries, self.verified.sealed)
        under_way = [asyncio.create_task(check(each)) for each in islice(waiting, at_once)]
        while under_way:
            checked = await under_way.pop(0)
            under_way += [asyncio.create_task(check(each)) for each in islice(waiting, 1)]
            await self._take(checked)
            progress(min(checked.begin + checking.STRETCH, self.verified.entries), self.verified.entries)
            if self.verified.findings:
                for each in under_way:
                    each.cancel()
                await asyncio.gather(*under_way, return_exceptions=True)
                return

    async def _take(self, checked: Checked) -> None:
        self.verified.findings += checked.findings
        known = min((finding.entry for finding in checked.findings), default=self.verified.entries)
        for claim in checked.claims:
            if claim.size > known:
                break  # its root is another one, and why is told more exactly
            if joined([*self._tree.subtrees, claim.within]) == claim.root:
                self.verified.checkpoints += 1
                self._agreed = claim.size
            else:
                self._find(
                    self._agreed,
                    f"or one after it is not what was signed: the checkpoint of {claim.size} has another root",
                )
                break
        if checked.root:
            self._tree.append(checked.root)
            for tile in self._tiles.append(checked.root):
                await self._compare(tile)

    async def _compare(self, tile: Tile) -> None:
        level, width = tile.level + 2, checking.STRETCH * WIDTH ** (tile.level + 1)
        if (tile.tile + 1) * width > self.verified.sealed:
            return
        row = await self._connection.fetchrow(_TILE, level, tile.tile)
        if row is None or (row["hashes"], row["root"]) != (tile.hashes, tile.root):
            self._find(tile.tile * width, f"begins a false or missing tile ({level}, {tile.tile})")

    async def compare_outside(self, outside: Sequence[Outside]) -> None:
        """Hold the log against what was kept outside. After `run`: roots come from tiles that were checked."""
        if self.verified.findings:
            return
        for each in outside:
            self.verified.outside += 1
            try:
                said = notes.parse_checkpoint(notes.open(each.note, *self._verifiers))
            except ValueError as error:
                self._find(0, f"cannot be compared with {each.where}: {error}")
                continue
            if said.size > self.verified.entries:
                self._find(
                    self.verified.entries, f"is missing: {each.where} has a checkpoint of {said.size} entries"
                )
                continue
            try:
                found = await self._log.root(said.size)
            except LogBroken as broken:
                self._find(0, f"cannot be compared with {each.where}: {broken}")
                continue
            if found != said.root:
                self._find(0, f"or one before {said.size} is not what {each.where} has a checkpoint of")

    def _find(self, entry: int, what: str) -> None:
        self.verified.findings.append(Finding(entry, what))
