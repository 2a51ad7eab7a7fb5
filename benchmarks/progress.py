"""What a run is doing, on stderr: for somebody who waits for it."""

from __future__ import annotations

import sys
import time

BEGUN = time.perf_counter()


def say(text: str) -> None:
    """Say `text` behind the time since the run began."""
    minutes, seconds = divmod(int(time.perf_counter() - BEGUN), 60)
    print(f"[{minutes:02}:{seconds:02}] {text}", file=sys.stderr, flush=True)
