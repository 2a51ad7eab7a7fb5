"""A run: the suites that were asked for, step by step. A step that fails is written down and takes none with it."""

from __future__ import annotations

import asyncio
import contextlib
import re
import signal
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks import loadgen, loading, writes
from benchmarks.dataplane.bench import Bench, filled_register
from benchmarks.dataplane.rows import ROWS
from benchmarks.filling import SEED
from benchmarks.measuring import Plan
from benchmarks.peers import build, measuring, suite
from benchmarks.peers.running import PeerRefused
from benchmarks.peers.servers import PEERS
from benchmarks.progress import say
from benchmarks.results import LOOKS, Results
from benchmarks.system import DURABLE, servers, system
from benchmarks.tokens import filling as token_filling
from benchmarks.tokens import suite as token_suite
from tests.support.cluster import Cluster
from tests.support.services import Services

SUITES = ("dataplane", "peers", "writes", "tokens")
BULK = 200_000
TOKENS = 200_000
_PLACES = re.compile(r"\w+://\S+|(?<![\w.])/[\w.-]+/[^\s:,\"']*")


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be run: suites; rows and peers by name (all when empty); how long; with how many tokens."""

    suites: Sequence[str]
    only: Sequence[str]
    plan: Plan
    tokens: int = TOKENS

    def wants(self, of_suite: str, name: str) -> bool:
        return of_suite in self.suites and (not self.only or name in self.only)


class Run:
    """Runs what is asked, and keeps what it finds in `results`, on the disk after each step."""

    def __init__(self, asked: Asked, results: Results) -> None:
        self._asked = asked
        self._results = results
        self._program = Path()  # cannot be run: without a load generator each load fails for itself

    async def go(self) -> None:
        self._stop_when_told()
        if {"dataplane", "peers"} & set(self._asked.suites):
            async with self._step("build: load generator", "a minute, once"):
                self._program = loadgen.build()
        with servers(DURABLE) as using:
            await self._on_the_filled_register(using)
            await self._peers()
            if "writes" in self._asked.suites:
                await self._writes(using)
            if "tokens" in self._asked.suites:
                await self._tokens(using)

    @staticmethod
    def _stop_when_told() -> None:
        """A signal ends the run as a failure would: what was started is stopped first."""
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, task.cancel)

    # -- suites

    async def _on_the_filled_register(self, using: Services) -> None:
        rows = [row for row in ROWS if self._asked.wants("dataplane", row.name)]
        with_peers = self._asked.wants("peers", suite.OURS)
        if not rows and not with_peers:
            return
        async with self._step("dataplane: fill"), self._register(using) as bench:
            for row in rows:
                about_s = row.about_s(bench.plan)
                async with self._step(f"dataplane: {row.name}", f"{row.what}, about {about_s:.0f} s"):
                    self._results.add("dataplane", await row.measure(bench))
            if with_peers:
                async with self._step("peers: nser", "what the rows above have not measured"):
                    self._results.peers.append((await suite.ours(bench)).told())

    def _register(self, using: Services) -> contextlib.AbstractAsyncContextManager[Bench]:
        results, plan = self._results, self._asked.plan
        return filled_register(using, results.people, self._program, plan, results)

    async def _peers(self) -> None:
        if "peers" not in self._asked.suites:
            return
        names = [name for name in PEERS if self._asked.wants("peers", name)]
        about = f"about {suite.about_s(self._asked.plan, self._results.people):.0f} s"
        for name in names:
            async with self._step(f"peers: {name}", about):
                self._results.peers.append(await self._peer(name))
        self._results.add("peers", suite.ratios(self._results.peers))

    async def _peer(self, name: str) -> dict[str, object]:
        setting = build.setting(self._results.people, SEED)
        return (await measuring.measure(name, setting, self._program, self._asked.plan)).told()

    async def _writes(self, using: Services) -> None:
        quick = self._asked.plan.rounds == 1
        for replicas in (1, 4):
            async with self._step(f"writes: registrations, {replicas}", "about 40 s"):
                async with system(using, replicas=replicas) as some:
                    figures = await writes.registrations(some, seconds=5 if quick else 30, replicas=replicas)
                self._results.add("writes", figures)
        for notify in (True, False):
            async with self._step(f"writes: visible, NOTIFY {'on' if notify else 'off'}", "about 60 s"):
                async with system(using, replicas=2, notify=notify) as two:
                    figures = await writes.visibility(two, rounds=20 if quick else 200, notify=notify)
                self._results.add("writes", figures)
        async with self._step("writes: bulk entry", "about 30 s"), system(using, replicas=0) as one:
            self._results.add("writes", [await loading.fill(one, BULK // 10 if quick else BULK)])

    async def _tokens(self, using: Services) -> None:
        seconds, tokens = 5 if self._asked.plan.rounds == 1 else 30, self._asked.tokens
        about = f"{tokens:,} tokens; about {tokens / 20_000 + 5 * seconds:.0f} s"
        async with self._step("tokens", about), system(using, replicas=0) as one:
            cluster = one.cluster
            operator_id = await _operator_of(cluster)
            filled = await token_filling.fill(cluster.database.owner_url, cluster.ring, operator_id, tokens)
            load = token_suite.Load(one, filled, seconds)
            self._results.add("tokens", await token_suite.measure(load, LOOKS / "token-plans.md"))

    # -- steps

    @asynccontextmanager
    async def _step(self, name: str, about: str = "") -> AsyncIterator[None]:
        """Do one thing. What it raises is written down, but for a stop that was asked for."""
        say(f"{name}: {about}" if about else name)
        begun = time.perf_counter()
        try:
            yield
        except PeerRefused as refused:
            self._results.left_out[name.partition(": ")[2]] = words(refused)
            say(f"  left out: {refused}")
        except Exception as error:  # noqa: BLE001 - whatever it was, the other steps are worth having
            self._results.failures[name] = f"{type(error).__name__}: {words(error)}"
            say(f"  FAILED after {time.perf_counter() - begun:.0f} s: {type(error).__name__}: {error}")
        self._results.save()


async def _operator_of(cluster: Cluster) -> object:
    """The operator that asks."""
    rows = await cluster.sql("SELECT operator_id FROM register.operator WHERE name = 'Betting Ltd'")
    return rows[0]["operator_id"]


def words(error: Exception) -> str:
    """One line of an error for a table that is published: nothing of where this machine has what."""
    lines = str(error).strip().splitlines() or ["it said nothing"]
    return _PLACES.sub("…", lines[0])[:300]
