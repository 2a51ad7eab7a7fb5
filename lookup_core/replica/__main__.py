"""`python -m lookup_core.replica [--check-config]`: one replica as a process."""

from __future__ import annotations

import asyncio
import sys

import uvloop

from lookup_core.kernel.keyring import ReplicaKeys
from lookup_core.kernel.process import FAILED, OK, run_process
from lookup_core.kernel.settings import ReplicaSettings
from lookup_core.replica.server import Replica


async def serve(settings: ReplicaSettings, keys: ReplicaKeys, stopping: asyncio.Event) -> int:
    """Serve until told to stop, or until a part has failed. Gives the exit code."""
    replica = Replica(settings, keys)
    await replica.start()
    ends = [asyncio.create_task(event.wait()) for event in (stopping, replica.failed)]
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    for end in ends:
        end.cancel()
    await replica.drain()
    return FAILED if replica.failed.is_set() else OK


def main() -> int:
    """Read the environment and serve. Gives the exit code."""
    return run_process(
        "replica",
        ReplicaSettings,
        lambda settings: ReplicaKeys.load(settings.replica_keys_file),
        serve,
        uvloop.new_event_loop,
    )


if __name__ == "__main__":
    sys.exit(main())
