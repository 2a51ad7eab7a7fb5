"""`python -m lookup_core.registrar [--check-config]`: the registrar as a process."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from typing import Final

import asyncpg
import structlog
import uvloop

from lookup_core.kernel import logs
from lookup_core.kernel.errors import SettingsRefused
from lookup_core.kernel.keyring import KeyRing
from lookup_core.kernel.settings import RegistrarSettings, check_config, load
from lookup_core.registrar.server import ProcessFailed, Registrar

REFUSED: Final = 2
FAILED: Final = 1

log = structlog.get_logger()


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m lookup_core.registrar", description="The register's write side."
    )
    parser.add_argument(
        "--check-config", action="store_true", help="say what is wrong with the settings, and stop"
    )
    options = parser.parse_args()
    if options.check_config and (problems := check_config(RegistrarSettings)):
        return _refused(*problems)
    try:
        settings = load(RegistrarSettings)
        ring = KeyRing.load(settings.keyring_file)
        if options.check_config:
            return 0
        logs.configure("registrar", settings.log_level)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(run(settings, ring))
    except SettingsRefused as refused:
        return _refused(*refused.problems)


async def run(settings: RegistrarSettings, ring: KeyRing) -> int:
    """Serve until SIGTERM or SIGINT. Gives the exit code."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    registrar = Registrar(settings, ring)
    try:
        await registrar.start()
    except (OSError, TimeoutError, RuntimeError, asyncpg.PostgresError, asyncpg.InterfaceError) as fault:
        log.error("process.not_started", exc_info=fault)
        print(f"The registrar cannot start: {type(fault).__name__}. Its log says where.", file=sys.stderr)
        return FAILED
    try:
        await registrar.serve(stopping)
    except ProcessFailed:
        return FAILED
    finally:
        await registrar.stop()
    return 0


def _refused(*problems: str) -> int:
    for problem in problems:
        print(problem, file=sys.stderr)
    return REFUSED


if __name__ == "__main__":
    sys.exit(main())
