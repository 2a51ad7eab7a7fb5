"""The register that is measured, the one replica of it that runs, and the loads that several rows need."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import filling
from benchmarks.measuring import BATCH, Loader, Measured, Plan
from benchmarks.progress import say
from benchmarks.report import Figure
from benchmarks.results import Results
from benchmarks.system import System, system
from tests.support.authority import Authority
from tests.support.cluster import Replica
from tests.support.services import Services

CONNECTIONS, STREAMS = 4, 32
START_S = 900.0
"""Ten million people, on a machine that others use."""
FLAT_OUT: Mapping[str, object] = {"connections": CONNECTIONS, "streams": STREAMS}


@dataclass(slots=True)
class Bench:
    """One filled register. At most one of its replicas runs at a time."""

    system: System
    people: int
    program: Path
    plan: Plan
    results: Results
    folder: Path
    filled_in: Figure
    kind: str = ""
    _measured: dict[str, Measured] = field(default_factory=dict)

    @property
    def authorization(self) -> Path:
        path = self.folder / "authorization"
        if not path.exists():
            path.write_text(dict(self.system.operator_metadata)["authorization"])
        return path

    # -- the replica

    @property
    def snapshot_file(self) -> Path:
        """What every replica leaves, and the next one starts from."""
        return self.folder / "replica.snapshot"

    async def replica(self, kind: str = "plain", *, fresh: bool = False) -> Replica:
        """The replica that runs, if it is of this kind (see KINDS); else a new one in the place of what ran."""
        running = [each for each in self.system.cluster.replicas if each.is_running]
        if running and self.kind == kind and not fresh:
            return running[-1]
        for each in running:
            each.terminate()  # not killed: what it leaves on the disk makes the next one start sooner
            await each.ended(within_s=START_S)
        say(f"  starting a replica ({kind})")
        settings, module = KINDS[kind]
        started = await self.system.cluster.launch_replica(settings(self), module=module)
        await started.ready(within_s=START_S)
        self.kind = kind
        return started

    def adopt(self) -> None:
        """Go on with the plain replica that somebody else started."""
        self.kind = "plain"

    def loader(self, replica: Replica, **options: object) -> Loader:
        told = {"authorization_file": self.authorization, **options}
        return Loader(self.program, replica.address, (replica.pid,), self.people, filling.SEED, told)

    # -- loads on a plain replica, each made once

    async def flat_out(self) -> Measured:
        return await self._once("flat out", lambda it: it.median("unary", self.plan, **FLAT_OUT))

    async def batches(self) -> Measured:
        return await self._once("batches", lambda it: it.median("batch", self.plan, size=BATCH))

    async def streams(self) -> Measured:
        return await self._once("streams", lambda it: it.median("stream", self.plan, connections=CONNECTIONS))

    async def steady(self, rate: int) -> Measured:
        """Open loop, as long as a target wants it."""
        seconds = self.plan.steady_s
        return await self._once(f"{rate}/s", lambda it: it.once("unary", seconds=seconds, rate=rate))

    async def _once(self, name: str, measure: Callable[[Loader], Awaitable[Measured]]) -> Measured:
        if name not in self._measured:
            self._measured[name] = await measure(self.loader(await self.replica()))
        return self._measured[name]

    # -- TLS

    def certificates(self) -> Mapping[str, Path]:
        """A throw-away authority, and what it issued to the server and to the caller."""
        paths = {name: self.folder / f"{name}.pem" for name in ("ca", "chain", "key", "caller", "caller_key")}
        if not paths["ca"].exists():
            authority = Authority()
            for names in (("chain", "key"), ("caller", "caller_key")):
                for name, text in zip(names, authority.issue(), strict=True):
                    paths[name].write_bytes(text)
            paths["ca"].write_bytes(authority.pem)
        return paths


def _plain(bench: Bench) -> dict[str, str]:
    return {"NSER_REPLICA_SNAPSHOT_FILE": str(bench.snapshot_file)}


def _tls(bench: Bench) -> dict[str, str]:
    files = bench.certificates()
    named = {
        "NSER_REPLICA_TLS_CHAIN_FILE": str(files["chain"]),
        "NSER_REPLICA_TLS_KEY_FILE": str(files["key"]),
    }
    return {**_plain(bench), **named}


def _mtls(bench: Bench) -> dict[str, str]:
    return {**_tls(bench), "NSER_REPLICA_TLS_CALLERS_FILE": str(bench.certificates()["ca"])}


BUSY = "benchmarks.dataplane.busy"
KINDS: Mapping[str, tuple[Callable[[Bench], dict[str, str]], str]] = {
    "plain": (_plain, ""),
    "busy": (_plain, BUSY),
    "tls": (_tls, ""),
    "mtls": (_mtls, ""),
}
"""Settings, and the module that takes the place of the replica's `__main__`."""


@asynccontextmanager
async def filled_register(
    using: Services, people: int, program: Path, plan: Plan, results: Results
) -> AsyncIterator[Bench]:
    """A register with `people`, of whom one in twenty is excluded."""
    async with system(using, replicas=0) as one:
        say(f"filling a register with {people:,} people, about {people / 30_000:.0f} s")
        seconds = await filling.fill(one.cluster.database.owner_url, one.cluster.ring, people)
        how = f"{people:,} people, 5 % excluded; made by PostgreSQL, indexes and all, for the runs below"
        with tempfile.TemporaryDirectory(prefix="nser-bench-") as folder:
            filled_in = Figure("filling the register", round(seconds, 1), "s", how)
            yield Bench(one, people, program, plan, results, Path(folder), filled_in)
