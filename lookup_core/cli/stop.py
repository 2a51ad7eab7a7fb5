"""`nser stop`: end the system that runs in this home, from elsewhere, and wait until it has ended.

The running `nser run` stops its own processes in order. Where it was killed, what it left behind is ended here, by pid
and start time.
"""

import os
import signal
import time

from lookup_core.cli.exits import CommandFailed, ExitCode
from lookup_core.cli.home import Record, RunHome
from lookup_core.cli.output import Json, tell

PATIENCE_S = 60.0
LEFTOVER_PATIENCE_S = 15.0


def stop(json: Json = False) -> None:
    """Stop the system in this home and wait until it has ended."""
    home = RunHome.here()
    running = home.running
    if running is not None:
        os.kill(running.pid, signal.SIGTERM)
        if not gone([running], PATIENCE_S):
            raise CommandFailed(
                f"Process {running.pid} has not ended in {PATIENCE_S:.0f} s.",
                code=ExitCode.UNAVAILABLE,
                attempt=f"kill -9 {running.pid}, then nser stop",
            )
    left = end_leftovers(home)
    if running is None and not left:
        tell(f"Nothing runs in {home.root}.", {"stopped": False, "home": home.root}, as_json=json)
        return
    tell(f"Stopped what ran in {home.root}.", {"stopped": True, "home": home.root}, as_json=json)


def end_leftovers(home: RunHome) -> list[str]:
    """End processes whose `nser run` is gone; gives their names. Their records are removed."""
    records = list(home.all())
    left = [record for record in records if record.is_alive]
    # PostgreSQL's fast shutdown is SIGINT; SIGTERM would wait for clients.
    for number in (signal.SIGTERM, signal.SIGKILL):
        for record in left:
            if record.is_alive:
                signalled = (
                    signal.SIGINT if record.name == "postgres" and number is signal.SIGTERM else number
                )
                _send(record, signalled)
        if gone(left, LEFTOVER_PATIENCE_S):
            break
    for record in records:
        home.forget(record.name)
    home.forget("nser")
    return [record.name for record in left]


def gone(records: list[Record], seconds: float) -> bool:
    """Whether every process of `records` has ended within `seconds`."""
    deadline = time.monotonic() + seconds
    while any(record.is_alive for record in records):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _send(record: Record, number: signal.Signals) -> None:
    try:
        os.kill(record.pid, number)
    except ProcessLookupError:
        return
    except PermissionError:
        raise CommandFailed(
            f"Process {record.pid} ({record.name}) belongs to another account.",
            code=ExitCode.NOT_PERMITTED,
            attempt=f"kill {record.pid}   (as its owner)",
        ) from None
