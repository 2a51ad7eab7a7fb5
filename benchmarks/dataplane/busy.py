"""`python -m benchmarks.dataplane.busy`: a replica whose process has a thread that never stops computing in Python."""

from __future__ import annotations

import sys
import threading

from lookup_core.replica.__main__ import main


def spin() -> None:
    """Take one core, and the GIL whenever it is to be had."""
    while True:
        pass


if __name__ == "__main__":
    threading.Thread(target=spin, name="busy", daemon=True).start()
    sys.exit(main())
