"""How soon a thread has the processor once it has something to do.

From Linux 6.12 on, a thread that asked for shorter slices of time than the one that runs takes its place when it is
woken; it waits for the end of that one's slice otherwise, some milliseconds. It has no more of the processor for it,
and needs no privilege. Older kernels and other machines take no notice: nothing here is an error, and nothing relies
on it.
"""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

SLICE_NS: Final = 100_000
"""The shortest that Linux takes."""
_DEFAULT: Final = 0
_NORMAL: Final = 0
_THIS_THREAD: Final = 0
_CALLS: Final = {"x86_64": (314, 315), "aarch64": (274, 275)}
"""The numbers of sched_setattr and sched_getattr, which the C library has no functions for."""


class _Attributes(ctypes.Structure):
    """`struct sched_attr`, as Linux 3.14 began it."""

    _fields_ = (
        ("size", ctypes.c_uint32),
        ("policy", ctypes.c_uint32),
        ("flags", ctypes.c_uint64),
        ("nice", ctypes.c_int32),
        ("priority", ctypes.c_uint32),
        ("runtime", ctypes.c_uint64),
        ("deadline", ctypes.c_uint64),
        ("period", ctypes.c_uint64),
    )


@contextmanager
def short_slices() -> Iterator[None]:
    """Threads and processes that this thread starts meanwhile ask for short slices, as it does itself until the end."""
    _ask_for(SLICE_NS)
    try:
        yield
    finally:
        _ask_for(_DEFAULT)


def slice_ns() -> int | None:
    """What this thread has; None where that is not told."""
    held = _held()
    return held.runtime if held and held.runtime else None


def _ask_for(slice_ns: int) -> None:
    held = _held()
    if held is None or held.policy != _NORMAL:
        return  # whoever gave the process a policy of its own knows better
    held.runtime = slice_ns
    ctypes.CDLL(None).syscall(_CALLS[platform.machine()][0], _THIS_THREAD, ctypes.byref(held), 0)


def _held() -> _Attributes | None:
    if platform.system() != "Linux" or platform.machine() not in _CALLS:
        return None
    held = _Attributes(size=ctypes.sizeof(_Attributes))
    number = _CALLS[platform.machine()][1]
    told = ctypes.CDLL(None).syscall(number, _THIS_THREAD, ctypes.byref(held), ctypes.sizeof(held), 0)
    return held if told == 0 else None
