"""Short slices are asked for by threads that are started meanwhile, and by nobody where the kernel has none."""

from __future__ import annotations

import platform
import threading

import pytest

from lookup_core.kernel import scheduling
from lookup_core.kernel.scheduling import SLICE_NS, short_slices, slice_ns

HAS_SLICES = tuple(int(part) for part in platform.release().split(".")[:2]) >= (6, 12)


def slice_of_a_new_thread() -> int | None:
    told: list[int | None] = []
    thread = threading.Thread(target=lambda: told.append(slice_ns()))
    thread.start()
    thread.join()
    return told[0]


def test_threads_that_are_started_meanwhile_have_short_slices_and_later_ones_have_not() -> None:
    before = slice_of_a_new_thread()
    with short_slices():
        assert slice_of_a_new_thread() == (SLICE_NS if HAS_SLICES else before)
    assert slice_of_a_new_thread() == before != SLICE_NS


@pytest.mark.parametrize("call", [0, 1])
def test_where_the_kernel_refuses_nothing_happens(monkeypatch: pytest.MonkeyPatch, call: int) -> None:
    numbers = [*scheduling._CALLS.get(platform.machine(), (0, 0))]
    numbers[call] = 100_000  # no such call
    monkeypatch.setitem(scheduling._CALLS, platform.machine(), tuple(numbers))
    before = slice_of_a_new_thread()
    with short_slices():
        assert slice_of_a_new_thread() == before


def test_on_another_machine_nothing_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "another")
    with short_slices():
        assert slice_ns() is None
