"""How many checks a second one Python process gets through the SDK's stream: each its own awaited `client.check`."""

from __future__ import annotations

import asyncio
import resource
import time
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from benchmarks.report import Figure, at_least
from benchmarks.system import System
from lookup_core.cli.demo.people import person
from nser_client import AsyncClient, Outcome

TARGET = 100_000
CONCURRENT = 4_000
QUESTIONS = 50_000
WARM_UP_S = 1.0
PATIENCE_MS = 10_000


@dataclass(frozen=True, slots=True)
class Question:
    """What one check asks, and the answer that it must get."""

    phone: str | None
    id_number: str | None
    may_play: bool


def questions(people: int, *, by: Sequence[str], seed: int = 1) -> Sequence[Question]:
    """People from the whole index as `filling.fill` entered it, in random order: no two checks in a row are alike."""
    random = Random(seed)
    drawn = (person(random.randrange(people), seed=1, excluded_share=0.05) for _ in range(QUESTIONS))
    return [
        Question(
            one.phone if "phone" in by else None,
            one.national_id if "id_number" in by else None,
            one.period is None,
        )
        for one in drawn
    ]


class WrongAnswer(Exception):
    """A check was answered otherwise than the register says: no figure is worth anything then."""


async def measure(system: System, *, seconds: float, people: int) -> Sequence[Figure]:
    """Checks of `people` who were entered by `filling.fill`; one client process, one replica."""
    figures = []
    for by in (("phone",), ("phone", "id_number")):
        asked = questions(people, by=by)
        rate, cpu_us, failed = await _rate(system, asked, seconds)
        name = f"checks through the SDK's stream, by {' and '.join(by)}"
        how = f"one Python process, one stream, {CONCURRENT:,} awaited at a time; {cpu_us:.1f} µs of its CPU a check"
        how += f"; {failed:,} without an answer" if failed else ""
        figures.append(at_least(name, rate, "checks/s", how, limit=TARGET))
    return figures


async def _rate(system: System, asked: Sequence[Question], seconds: float) -> tuple[float, float, int]:
    """Checks answered a second, the client's CPU for each in microseconds, and how many were INDETERMINATE."""
    done, failed, is_over = 0, 0, False

    async def keep_asking(client: AsyncClient, number: int) -> None:
        nonlocal done, failed
        while not is_over:
            question = asked[number % len(asked)]
            decision = await client.check(phone=question.phone, id_number=question.id_number)
            number += CONCURRENT
            if decision.outcome is Outcome.INDETERMINATE:  # by a machine too busy to renew the lease, for one
                failed += 1
            elif decision.may_play is question.may_play:
                done += 1
            else:
                raise WrongAnswer(f"{decision.outcome}, {decision.basis}")

    async with (
        AsyncClient(
            replicas=system.replicas[:1], api_key=system.cluster.operator.text, check_timeout_ms=PATIENCE_MS
        ) as client,
        asyncio.TaskGroup() as tasks,
    ):
        for lane in range(CONCURRENT):
            tasks.create_task(keep_asking(client, lane))
        await asyncio.sleep(WARM_UP_S)
        before, begun, used = done, time.perf_counter(), _cpu_s()
        await asyncio.sleep(seconds)
        answered, took, used = done - before, time.perf_counter() - begun, _cpu_s() - used
        is_over = True
    return answered / took, used / max(answered, 1) * 1e6, failed


def _cpu_s() -> float:
    """CPU of this process, of the threads of gRPC too."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
