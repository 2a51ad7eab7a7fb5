"""`nser seed`: fill the register with invented people of Kenya, the same ones for the same seed."""

import asyncio
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from lookup_core.cli.addresses import registrar
from lookup_core.cli.credentials import ADMIN_KEY, key
from lookup_core.cli.demo.people import DEFAULT_SEED, MOST_PEOPLE, people
from lookup_core.cli.output import Json, tell
from lookup_core.cli.seeding import Step, enter_by_rpc, enter_in_bulk

BULK_FROM = 2_000
"""From this many people on, straight into the tables."""


@dataclass(slots=True)
class Tally:
    people: int = 0
    excluded: int = 0
    known: int = 0

    def add(self, step: Step) -> None:
        self.people += step.people
        self.excluded += step.excluded
        self.known += step.known


def seed(
    *,
    count: Annotated[int, typer.Option("--people", min=1, max=MOST_PEOPLE, help="How many.")],
    excluded_share: Annotated[
        float, typer.Option(min=0, max=1, help="How many of them are excluded.")
    ] = 0.05,
    number: Annotated[int, typer.Option("--seed", min=0, max=1_000_000, help="Which people.")] = DEFAULT_SEED,
    concurrency: Annotated[int, typer.Option(min=1, max=64, help="Calls at a time.")] = 16,
    bulk: Annotated[
        bool | None, typer.Option(help=f"Straight into the tables; by default from {BULK_FROM:,} on.")
    ] = None,
    json: Json = False,
) -> None:
    """Enter invented people. Repeating it changes nothing."""
    began = time.monotonic()
    in_bulk = count >= BULK_FROM if bulk is None else bulk
    with _progress(count) as tally:
        if in_bulk:
            asyncio.run(_in_bulk(tally, count, number, excluded_share))
        else:
            _by_rpc(tally, people(count, seed=number, excluded_share=excluded_share), number, concurrency)
    seconds = time.monotonic() - began
    told = {
        "people": tally.people,
        "excluded": tally.excluded,
        "known_before": tally.known,
        "seconds": round(seconds, 2),
        "people_per_second": round(tally.people / seconds, 1),
        "seed": number,
        "bulk": in_bulk,
    }
    known = f" {tally.known:,} were known before." if tally.known else ""
    sentence = (
        f"Entered {tally.people:,} people, {tally.excluded:,} of them excluded, in {seconds:.1f} s.{known}"
    )
    tell(sentence, told, as_json=json)


def _by_rpc(tally: Any, given: Any, number: int, concurrency: int) -> None:
    from lookup_core.cli.connection import Connection

    with Connection(registrar(), key(ADMIN_KEY), what="registrar") as to:
        for step in enter_by_rpc(to, given, seed=number, concurrency=concurrency):
            tally.add(step)


async def _in_bulk(tally: Any, count: int, number: int, excluded_share: float) -> None:
    from lookup_core.cli.database import connected, owner_url
    from lookup_core.cli.keys.opening import opened_ring, refused_by
    from lookup_core.kernel.clock import SystemClock
    from lookup_core.kernel.errors import SettingsRefused
    from lookup_core.registrar.bulk import in_force

    ring = opened_ring()
    url = owner_url()
    # Two: PostgreSQL writes one chunk while the next is made.
    async with connected(url) as one, connected(url) as other:
        try:
            async for step in enter_in_bulk(
                (one, other), ring, count, seed=number, excluded_share=excluded_share
            ):
                tally.add(step)
        except SettingsRefused as refused:
            raise refused_by(refused) from None
    await in_force(SystemClock())


@contextmanager
def _progress(total: int) -> Iterator[Tally]:
    """A tally that draws itself on a terminal: how far, how fast, how long still."""
    if not sys.stderr.isatty():
        yield Tally()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("people"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"))
    with Progress(
        *columns, TimeRemainingColumn(), TextColumn("left"), console=Console(stderr=True)
    ) as progress:
        task = progress.add_task("people", total=total, rate="")
        began = time.monotonic()

        class Drawn(Tally):
            def add(self, step: Step) -> None:
                super().add(step)
                done = self.people + self.known
                rate = f"{done / (time.monotonic() - began):,.0f}/s"
                progress.update(task, completed=done, rate=rate)

        yield Drawn()
