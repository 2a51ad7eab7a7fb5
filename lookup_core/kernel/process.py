"""How a process of ours begins and ends: arguments, settings, logs, signals, and the word that it is ready.

A process whose settings are refused ends at once, with one sentence for each problem; `--check-config` says no more
than that.
"""

import argparse
import asyncio
import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import structlog

from lookup_core.kernel import logs
from lookup_core.kernel.errors import SettingsRefused
from lookup_core.kernel.settings import ProcessSettings, check_config, load

OK: Final = 0
FAILED: Final = 1
REFUSED: Final = 2

log = structlog.get_logger()

Settings = TypeVar("Settings", bound=ProcessSettings)
Keys = TypeVar("Keys")


def run_process(
    name: str,
    settings_class: type[Settings],
    keys_of: Callable[[Settings], Keys],
    serve: Callable[[Settings, Keys, asyncio.Event], Awaitable[int]],
    loop_factory: Callable[[], asyncio.AbstractEventLoop],
) -> int:
    """Read arguments and environment, and run `serve` until SIGTERM or Ctrl-C. Gives the exit code.

    `serve` is given an event that is set when the process is asked to stop. It may raise SettingsRefused.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m lookup_core.{name}", description=f"The {name}, as a process."
    )
    parser.add_argument(
        "--check-config", action="store_true", help="say what is wrong with the settings, and end"
    )
    only_check = parser.parse_args().check_config
    try:
        if only_check and (problems := check_config(settings_class)):
            raise SettingsRefused(*problems)
        settings = load(settings_class)
        keys = keys_of(settings)
        if only_check:
            return OK
        logs.configure(name, settings.log_level)
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            return runner.run(_until_told(serve, settings, keys))
    except SettingsRefused as refused:
        for problem in refused.problems:
            print(problem, file=sys.stderr)
        return REFUSED


async def _until_told(
    serve: Callable[[Settings, Keys, asyncio.Event], Awaitable[int]], settings: Settings, keys: Keys
) -> int:
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    return await serve(settings, keys, stopping)


def tell_ready(ready_file: Path | None, **facts: Any) -> None:
    """Say that this process serves, in the log and, where one is named, in a file that appears whole."""
    told = {**facts, "pid": os.getpid()}
    if ready_file is not None:
        draft = ready_file.with_name(f".{ready_file.name}.{os.getpid()}")
        draft.write_text(json.dumps(told))
        draft.replace(ready_file)
    log.info("process.ready", **told)
