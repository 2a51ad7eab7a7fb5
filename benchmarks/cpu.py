"""The CPU that processes and threads have used, and the memory they hold, as Linux tells it in /proc."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pids: Sequence[int]) -> float:
    """CPU of these processes and all that descend from them, since each began."""
    parents, ticks = {}, {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            _, parent, used = _read(stat)
        except OSError:  # it ended meanwhile
            continue
        pid = int(stat.parent.name)
        parents[pid], ticks[pid] = parent, used
    return sum(ticks[pid] for pid in ticks if _descends(pid, pids, parents)) / TICKS_A_SECOND


def thread_seconds(pid: int, *, named: str) -> float:
    """CPU of those threads of one process whose names begin with `named`."""
    stats = [_read(stat) for stat in Path(f"/proc/{pid}/task").glob("[0-9]*/stat")]
    return sum(used for name, _, used in stats if name.startswith(named)) / TICKS_A_SECOND


def _read(stat: Path) -> tuple[str, int, int]:
    """Name, parent, and ticks used by user and system."""
    # The name in brackets may hold anything; what follows it does not.
    before, _, after = stat.read_text().rpartition(")")
    fields = after.split()
    return before.partition("(")[2], int(fields[1]), int(fields[11]) + int(fields[12])


def _descends(pid: int, from_any: Sequence[int], parents: Mapping[int, int]) -> bool:
    while pid:
        if pid in from_any:
            return True
        pid = parents.get(pid, 0)
    return False
