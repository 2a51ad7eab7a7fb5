"""`python -m lookup_core.registrar [--check-config]`: the registrar as a process."""

from __future__ import annotations

import asyncio
import sys

import asyncpg
import structlog
import uvloop

from lookup_core.kernel.process import FAILED, OK, run_process
from lookup_core.kernel.providers.choice import ring_file_of
from lookup_core.kernel.ring_in_use import RingInUse
from lookup_core.kernel.settings import RegistrarSettings
from lookup_core.registrar.server import ProcessFailed, Registrar

log = structlog.get_logger()


async def serve(settings: RegistrarSettings, keys: RingInUse, stopping: asyncio.Event) -> int:
    """Serve until told to stop, or until a part has failed. Gives the exit code."""
    registrar = Registrar(settings, keys)
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
    return OK


def keys_of(settings: RegistrarSettings) -> RingInUse:
    """Open the key ring. Raises SettingsRefused."""
    file = ring_file_of(settings)
    return RingInUse(file.load(), file.load)


def main() -> int:
    """Read the environment and serve. Gives the exit code."""
    return run_process(
        "registrar",
        RegistrarSettings,
        keys_of,
        serve,
        uvloop.new_event_loop,
    )


if __name__ == "__main__":
    sys.exit(main())
