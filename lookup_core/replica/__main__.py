"""`python -m lookup_core.replica`: one replica, until SIGTERM or Ctrl-C.

`--check-config` says what is wrong with the environment, and ends.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys

import uvloop

from lookup_core.kernel import logs
from lookup_core.kernel.errors import SettingsRefused
from lookup_core.kernel.keyring import ReplicaKeys
from lookup_core.kernel.settings import ReplicaSettings, check_config, load
from lookup_core.replica.server import Replica

REFUSED = 2


async def serve(settings: ReplicaSettings) -> int:
    """Run until a signal or a failure. Gives the exit code."""
    asked_to_stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, asked_to_stop.set)
    replica = Replica(settings, ReplicaKeys.load(settings.replica_keys_file))
    await replica.start()
    ends = [asyncio.create_task(event.wait()) for event in (asked_to_stop, replica.failed)]
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    for end in ends:
        end.cancel()
    await replica.drain()
    return 1 if replica.failed.is_set() else 0


def main() -> int:
    """Read the environment and serve. Gives the exit code."""
    parser = argparse.ArgumentParser(prog="python -m lookup_core.replica", description=__doc__)
    parser.add_argument(
        "--check-config", action="store_true", help="say what is wrong with the environment, and end"
    )
    only_check = parser.parse_args().check_config
    try:
        if only_check:
            if problems := check_config(ReplicaSettings):
                raise SettingsRefused(*problems)
            ReplicaKeys.load(load(ReplicaSettings).replica_keys_file)
            return 0
        settings = load(ReplicaSettings)
        logs.configure("replica", settings.log_level)
        return uvloop.run(serve(settings))
    except SettingsRefused as refused:
        for problem in refused.problems:
            print(problem, file=sys.stderr)
        return REFUSED


if __name__ == "__main__":
    sys.exit(main())
