"""`python -m nser_bridge`: serve REST, or with --check-config say what is wrong with the settings.

Exit code 0 after SIGTERM, 2 when settings are refused.
"""

from __future__ import annotations

import argparse
import asyncio
import sys

import uvloop

from nser_bridge import logs, settings
from nser_bridge.process import serve
from nser_bridge.settings import SettingsRefused

REFUSED = 2


def main() -> int:
    """Run the bridge and return its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m nser_bridge", description="REST in front of the register."
    )
    parser.add_argument("--check-config", action="store_true", help="check the settings and start nothing")
    only_check = parser.parse_args().check_config
    try:
        loaded = settings.load()
        if only_check:
            print("The settings are good.")
            return 0
        logs.configure(loaded.log_level)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve(loaded))
    except SettingsRefused as refused:
        print(*refused.problems, sep="\n", file=sys.stderr)
        return REFUSED
    return 0


if __name__ == "__main__":
    sys.exit(main())
