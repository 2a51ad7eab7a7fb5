"""The rows of the table, in the order they are measured: what tells of latency before what leaves work behind."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from benchmarks import loading, sdk_stream
from benchmarks.cpu import thread_seconds
from benchmarks.dataplane import crosscheck, profile
from benchmarks.dataplane.bench import FLAT_OUT, Bench
from benchmarks.dataplane.registering import applied_by, registering
from benchmarks.measuring import BATCH, Measured, Plan
from benchmarks.report import Figure, at_least, at_most, no_more, ratio
from lookup_core.embedded.child import dying_with_us
from tests.support.cluster import Replica

REGISTRATIONS = 500
STEADY = 5_000
FLAT = "closed loop, 4 connections x 32 calls, random people, API key"
SLOWER = 1.5
"""How much longer p99 may be beside something else."""
SAME = 1.1
BESIDE = 0.9
TLS_SHARE = 0.9


@dataclass(frozen=True, slots=True)
class Row:
    """`about_s` is how long it takes, a replica that has to be started left out."""

    name: str
    what: str
    about_s: Callable[[Plan], float]
    measure: Callable[[Bench], Awaitable[Sequence[Figure]]]


async def load(bench: Bench) -> Sequence[Figure]:
    """Memory and start; the replica that this leaves is the one that the next rows ask."""
    figures = await loading.measure(bench.system, people=bench.people, snapshot_file=bench.snapshot_file)
    bench.adopt()
    return [bench.filled_in, *figures]


async def steady_5000(bench: Bench) -> Sequence[Figure]:
    measured = await bench.steady(STEADY)
    bench.results.add_curve("idle", measured.report["curve"])
    name, how = "open loop 5,000/s", _open_loop(measured)
    return [
        at_most(f"{name}, p50", measured.ms("p50"), "ms", how, limit=0.3),
        at_most(f"{name}, p99", measured.ms("p99"), "ms", how, limit=1),
        at_most(f"{name}, p99.9", measured.ms("p99.9"), "ms", how, limit=5),
    ]


async def steady_10000(bench: Bench) -> Sequence[Figure]:
    measured = await bench.steady(10_000)
    name, how = "open loop 10,000/s", _open_loop(measured)
    return [
        at_most(f"{name}, p99", measured.ms("p99"), "ms", how, limit=2),
        no_more(f"{name}, errors", measured.failed, "calls", how, limit=0),
    ]


def _open_loop(measured: Measured) -> str:
    report = measured.report
    late = report["sent_late_us"]["p99"] / 1_000
    calls = f"{report['count']:,} calls in {report['seconds']:.0f} s, {measured.failed} failed"
    return f"{calls}; the generator itself was {late:.2f} ms late at p99"


async def registrations(bench: Bench) -> Sequence[Figure]:
    idle = await bench.steady(STEADY)
    replica = await bench.replica()
    cluster = bench.system.cluster
    async with registering(cluster, first=bench.people):
        before = await applied_by(cluster, replica.pid)
        loader = bench.loader(replica)
        measured = await loader.once("unary", seconds=bench.plan.steady_s, rate=STEADY)
        after = await applied_by(cluster, replica.pid)
    bench.results.add_curve("500 registrations/s", measured.report["curve"])
    applied = (after.revision - before.revision) / (after.at - before.at)
    beside = f"idle {idle.ms('p99'):.3f} ms; {_open_loop(measured)}"
    how = "revisions that the replica reported applied; written in bulk, 26 in a commit, not by Register"
    return [
        at_least("registrations applied meanwhile", applied, "/s", how, limit=REGISTRATIONS),
        _no_slower("open loop 5,000/s while registrations are applied, p99", measured, idle, beside),
    ]


def _no_slower(name: str, measured: Measured, than: Measured, how: str) -> Figure:
    return no_more(name, measured.ms("p99"), "ms", how, limit=round(SLOWER * than.ms("p99"), 3))


async def sdk(bench: Bench) -> Sequence[Figure]:
    await bench.replica()
    return await sdk_stream.measure(bench.system, seconds=bench.plan.seconds, people=bench.people)


async def unary(bench: Bench) -> Sequence[Figure]:
    measured = await bench.flat_out()
    how = f"of the whole process, user and system; {FLAT}; lease, quota, lookup log, metrics on"
    return [
        Figure("unary checks", round(measured.people_per_second), "checks/s", _told(measured, FLAT)),
        no_more("server CPU per unary check", measured.cpu_us_per_person, "µs", how, limit=6),
    ]


async def batch(bench: Bench) -> Sequence[Figure]:
    measured = await bench.batches()
    how = _told(measured, f"batches of {BATCH:,}, 4 connections x 2 calls, random people")
    return [at_least("BatchCheck 1,000", measured.people_per_second, "people/s", how, limit=3_000_000)]


async def stream(bench: Bench) -> Sequence[Figure]:
    measured = await bench.streams()
    how = _told(measured, "native generator, 4 streams, window 256 each, random people")
    return [Figure("StreamCheck", round(measured.people_per_second), "checks/s", how)]


def _told(measured: Measured, how: str) -> str:
    return f"{how}; {measured.cpu_us_per_person:.1f} µs of server CPU a person; {measured.failed} failed"


async def h2load(bench: Bench) -> Sequence[Figure]:
    return [await crosscheck.by_h2load(bench)]


async def ghz(bench: Bench) -> Sequence[Figure]:
    return [await crosscheck.by_ghz(bench)]


async def where_cpu_goes(bench: Bench) -> Sequence[Figure]:
    replica = await bench.replica()
    bench.results.profile = await profile.record(
        replica.pid, bench.loader(replica, **FLAT_OUT), bench.plan.seconds
    )
    return []


async def tls(bench: Bench) -> Sequence[Figure]:
    plain = await bench.flat_out()
    loader = bench.loader(await bench.replica("tls"), ca=bench.certificates()["ca"], server_name="127.0.0.1")
    steady = await loader.once("unary", seconds=bench.plan.seconds, rate=STEADY)
    bench.results.add_curve("TLS", steady.report["curve"])
    measured = await loader.median("unary", bench.plan, **FLAT_OUT)
    return [*_of_plain("TLS 1.3", measured, plain), _p99("open loop 5,000/s, TLS 1.3, p99", steady)]


async def mtls(bench: Bench) -> Sequence[Figure]:
    plain = await bench.flat_out()
    files = bench.certificates()
    shown = {"certificate": files["caller"], "key": files["caller_key"]}
    replica = await bench.replica("mtls")
    loader = bench.loader(replica, ca=files["ca"], server_name="127.0.0.1", **shown)
    return _of_plain("mTLS", await loader.median("unary", bench.plan, **FLAT_OUT), plain)


def _of_plain(name: str, measured: Measured, plain: Measured) -> list[Figure]:
    rate, without = measured.people_per_second, plain.people_per_second
    return [
        Figure(f"unary checks, {name}", round(rate), "checks/s", _told(measured, FLAT)),
        ratio(f"unary checks, {name} on / off", rate, without, "the same load in this run", limit=TLS_SHARE),
    ]


def _p99(name: str, measured: Measured) -> Figure:
    return Figure(name, round(measured.ms("p99"), 3), "ms", _open_loop(measured))


async def busy_thread(bench: Bench) -> Sequence[Figure]:
    """Beside a process of the same code, which takes the same CPU: what is lost to that is the thread's own doing."""
    plain = await bench.replica(fresh=True)
    with _busy_process():
        beside = await _loaded(bench, plain)
    within = await _loaded(bench, await bench.replica("busy"))
    bench.results.add_curve("busy Python thread", within.steady.report["curve"])
    name = "a busy Python thread"
    control = "the same load beside a process that spins as the thread does, and takes as much CPU"
    return [
        ratio(
            f"unary checks, {name} in the replica / beside it",
            *(within.flat_out.people_per_second, beside.flat_out.people_per_second),
            f"{within.flat_out.people_per_second:,.0f} checks/s against {control}",
            limit=BESIDE,
        ),
        no_more(
            f"CPU of the serving threads per check, {name}",
            within.serving_us,
            "µs",
            f"{beside.serving_us:.2f} µs in {control}; limit 1.1 x",
            limit=round(SAME * beside.serving_us, 3),
        ),
        _no_slower(
            f"open loop 5,000/s, {name}, p99",
            *(within.steady, beside.steady),
            f"{beside.steady.ms('p99'):.3f} ms in {control}; limit 1.5 x; {_open_loop(within.steady)}",
        ),
    ]


@dataclass(frozen=True, slots=True)
class _Loaded:
    steady: Measured
    flat_out: Measured
    serving_us: float


async def _loaded(bench: Bench, replica: Replica) -> _Loaded:
    loader, pid = bench.loader(replica), replica.pid
    steady = await loader.once("unary", seconds=bench.plan.seconds, rate=STEADY)
    before = thread_seconds(pid, named="nser-")
    flat_out = await loader.once("unary", seconds=bench.plan.seconds, **FLAT_OUT)
    used = thread_seconds(pid, named="nser-") - before
    return _Loaded(steady, flat_out, used / flat_out.report["people_answered_in_all"] * 1e6)


@contextmanager
def _busy_process() -> Iterator[None]:
    spin = "from benchmarks.dataplane.busy import spin; spin()"
    with subprocess.Popen([*dying_with_us("KILL"), sys.executable, "-c", spin]) as child:
        try:
            yield
        finally:
            child.kill()


def _rounds(plan: Plan) -> float:
    return plan.rounds * (plan.seconds + 1)


ROWS: Sequence[Row] = (
    Row("load", "start of a replica, and its memory", lambda plan: 60, load),
    Row("steady_5000", "5,000 checks a second", lambda plan: plan.steady_s + 1, steady_5000),
    Row(
        "registrations", "the same while people are registered", lambda plan: plan.steady_s + 1, registrations
    ),
    Row("steady_10000", "10,000 checks a second", lambda plan: plan.steady_s + 1, steady_10000),
    Row("sdk", "StreamCheck through the Python SDK", lambda plan: 2 * plan.seconds + 4, sdk),
    Row("unary", "Check, flat out", _rounds, unary),
    Row("h2load", "Check, by h2load", lambda plan: plan.seconds + 1, h2load),
    Row("ghz", "Check, by ghz", lambda plan: plan.seconds + 1, ghz),
    Row("profile", "where the CPU goes", lambda plan: plan.seconds + 5, where_cpu_goes),
    Row("stream", "StreamCheck, flat out", _rounds, stream),
    Row("batch", "BatchCheck, flat out", _rounds, batch),
    Row("tls", "Check with TLS", lambda plan: _rounds(plan) + plan.seconds + 1, tls),
    Row("mtls", "Check with mTLS", _rounds, mtls),
    Row("busy_thread", "a busy Python thread in the process", lambda plan: 4 * plan.seconds + 4, busy_thread),
)
