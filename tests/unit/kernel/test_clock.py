import time
from datetime import UTC

from lookup_core.kernel.clock import Clock, SystemClock, boottime_ns
from lookup_core.kernel.ids import new_id


def test_the_clock_of_leases_is_the_boot_clock():
    before = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    assert (
        before <= boottime_ns() <= SystemClock().boottime_ns() <= time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    )


def test_wall_time_is_aware_and_utc():
    assert SystemClock().now().tzinfo is UTC


async def test_a_sleep_is_never_shorter_than_asked():
    clock: Clock = SystemClock()
    began = clock.boottime_ns()
    await clock.sleep(0.01)
    assert clock.boottime_ns() - began >= 9_900_000


def test_new_ids_are_version_seven_unique_and_rising():
    ids = [new_id() for _ in range(2_000)]
    assert {each.version for each in ids} == {7}
    assert len(set(ids)) == len(ids)
    assert ids == sorted(ids)
