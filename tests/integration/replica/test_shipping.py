"""Shipping the lookup log to real PostgreSQL: everything once, nothing personal, and nothing lost with a process."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg
import pytest

from lookup_core._dataplane import LookupLog, read_segment
from lookup_core.replica.shipping import Shipping
from tests.support.register_writer import RegisterWriter
from tests.support.services import Database
from tests.support.waiting import until

Noted = tuple[int, int, bytes | None]
CLEAR: Noted = (2, 0, None)
EXCLUDED: Noted = (1, 2, b"t" * 16)
UNSURE: Noted = (3, 0, None)
NOWHERE = "postgresql://nobody:nothing@127.0.0.1:1/nowhere"

Write = Callable[..., UUID]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "log"


@pytest.fixture
def write(directory: Path) -> Write:
    """Notes calls in a log of a new process and closes it; gives its replica_id."""

    def noted(*calls: Sequence[Noted], segment_entries: int | None = None) -> UUID:
        replica_id = uuid4()
        log = LookupLog(directory, replica_id.bytes, segment_entries=segment_entries)
        for entries in calls:
            log.note(time.time_ns() // 1_000, b"o" * 16, "key", 1, "call", 3, entries)
        log.close()
        return replica_id

    return noted


@pytest.fixture
def shipping(database: Database, directory: Path) -> Shipping:
    return Shipping(database.replica_url, directory)


async def stored(register: RegisterWriter) -> list[asyncpg.Record]:
    return list(
        await register.connection.fetch("SELECT * FROM register.lookup_log ORDER BY replica_id, sequence")
    )


async def segments(register: RegisterWriter) -> list[asyncpg.Record]:
    query = "SELECT * FROM register.lookup_segment ORDER BY shipped_at, number"
    return list(await register.connection.fetch(query))


async def test_each_entry_is_stored_with_what_was_said(
    register: RegisterWriter, write: Write, shipping: Shipping
) -> None:
    replica_id = write([CLEAR, EXCLUDED, UNSURE], [(1, 4, b"u" * 16)])
    await shipping.flush(5)
    rows = await stored(register)
    assert [(row["sequence"], row["outcome"], row["basis"], row["token"]) for row in rows] == [
        (1, "NOT_EXCLUDED", None, None),
        (2, "EXCLUDED", "PHONE", b"t" * 16),
        (3, "INDETERMINATE", None, None),
        (4, "EXCLUDED", "TOKEN", b"u" * 16),
    ]
    assert {row["replica_id"] for row in rows} == {replica_id}
    assert {row["operator_id"] for row in rows} == {UUID(bytes=b"o" * 16)}
    assert {(row["key_id"], row["purpose"], row["correlation_id"], row["revision"]) for row in rows} == {
        ("key", "exclusion", "call", 3)
    }
    assert all(abs(row["at"].timestamp() - time.time()) < 60 for row in rows)
    assert (shipping.shipped, shipping.waiting()) == (4, [])


async def test_segments_name_those_before_them(
    register: RegisterWriter, write: Write, shipping: Shipping
) -> None:
    write([CLEAR], [CLEAR, CLEAR], [EXCLUDED], segment_entries=1)
    kept = [read_segment(path) for path in shipping.waiting()]
    await shipping.flush(5)
    rows = await segments(register)
    assert [(row["number"], row["entries"]) for row in rows] == [(1, 1), (2, 2), (3, 1)]
    assert [row["sha256"] for row in rows] == [segment.sha256 for segment in kept]
    assert [row["previous_sha256"] for row in rows] == [bytes(32), rows[0]["sha256"], rows[1]["sha256"]]
    times = [(row["first_at"], row["last_at"]) for row in await segments(register)]
    logged = [row["at"] for row in await stored(register)]
    assert (times[0][0], times[2][1]) == (logged[0], logged[-1])


async def test_what_is_shipped_twice_is_stored_once(
    register: RegisterWriter, write: Write, shipping: Shipping
) -> None:
    write([CLEAR, EXCLUDED])
    (path,) = shipping.waiting()
    kept = path.read_bytes()
    await shipping.flush(5)
    path.write_bytes(kept)
    await shipping.flush(5)
    assert (len(await stored(register)), len(await segments(register)), shipping.shipped) == (2, 1, 2)
    assert not path.exists()


async def test_another_segment_under_a_stored_name_is_set_aside(
    database: Database, directory: Path, register: RegisterWriter, shipping: Shipping
) -> None:
    """Two files of one replica and number: a disk that was copied. Neither is taken for the other."""
    replica_id = uuid4()
    for count in (1, 2):
        log = LookupLog(directory, replica_id.bytes)
        log.note(time.time_ns() // 1_000, b"o" * 16, "key", 1, "call", 3, [CLEAR] * count)
        log.close()
        await shipping.flush(5)
    assert (len(await stored(register)), shipping.damaged) == (1, 1)
    assert [path.name for path in (directory / "damaged").iterdir()] == [f"{1:020}.segment"]


async def test_a_damaged_segment_is_set_aside_and_the_next_is_shipped(
    directory: Path, register: RegisterWriter, write: Write, shipping: Shipping
) -> None:
    write([CLEAR], [EXCLUDED], segment_entries=1)
    first, _ = shipping.waiting()
    bytes_ = bytearray(first.read_bytes())
    bytes_[200] ^= 1
    first.write_bytes(bytes_)
    with pytest.raises(ValueError, match="its hash is that of other bytes"):
        read_segment(first)
    await shipping.flush(5)
    assert [row["outcome"] for row in await stored(register)] == ["EXCLUDED"]
    assert (directory / "damaged" / first.name).read_bytes() == bytes_
    assert (shipping.waiting(), shipping.damaged) == ([], 1)


async def test_what_a_process_left_is_shipped_by_the_next(
    directory: Path, register: RegisterWriter, write: Write, database: Database
) -> None:
    first = write([CLEAR])
    await Shipping(NOWHERE, directory).flush(0.2)
    second = write([EXCLUDED])
    await Shipping(database.replica_url, directory).flush(5)
    assert [row["replica_id"] for row in await segments(register)] == [first, second]
    assert {row["replica_id"] for row in await stored(register)} == {first, second}


async def test_what_a_killed_process_left_open_is_shipped_too(
    directory: Path, register: RegisterWriter, write: Write, shipping: Shipping
) -> None:
    killed = write([CLEAR, CLEAR], [EXCLUDED])
    (path,) = shipping.waiting()
    path.with_suffix(".open").write_bytes(path.read_bytes()[:-60])  # in the middle of its last record
    path.unlink()
    after = write([UNSURE])
    await shipping.flush(5)
    rows = await segments(register)
    assert [(row["replica_id"], row["entries"]) for row in rows] == [(killed, 2), (after, 1)]


def killed_while_writing(directory: Path) -> int:
    """How many entries a process had written when it was killed, as it last said."""
    program = (
        "import sys, time; from lookup_core._dataplane import LookupLog\n"
        "log = LookupLog(sys.argv[1], b'k' * 16, segment_age_ms=60_000)\n"
        "while True:\n"
        "    log.note(time.time_ns() // 1_000, b'o' * 16, 'key', 1, 'call', 3, [(2, 0, None)] * 3)\n"
        "    print(log.counts().written, flush=True)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program, str(directory)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    written = 0
    while written < 1_000:
        written = int(process.stdout.readline())
    process.kill()
    whole_lines = process.stdout.read().split(b"\n")[:-1]
    process.wait()
    assert [path.suffix for path in directory.iterdir() if path.name != "lock"] == [".open"]
    return max([written, *map(int, whole_lines)])


async def test_what_a_process_wrote_before_it_was_killed_is_shipped(
    directory: Path, register: RegisterWriter, shipping: Shipping
) -> None:
    """SIGKILL, while it writes: everything that was counted as written is there, and nothing half."""
    written = await asyncio.to_thread(killed_while_writing, directory)
    await asyncio.to_thread(LookupLog(directory, uuid4().bytes).close)
    await shipping.flush(5)
    sequences = [row["sequence"] for row in await stored(register)]
    assert sequences == list(range(1, len(sequences) + 1))
    assert len(sequences) >= written
    assert len(sequences) % 3 == 0


async def test_entries_wait_for_a_database_that_is_away(
    register: RegisterWriter, write: Write, shipping: Shipping
) -> None:
    await register.connection.execute("ALTER TABLE register.lookup_log RENAME TO away")
    write([CLEAR])
    running = asyncio.create_task(shipping.run())
    try:
        await until(lambda: shipping.faults > 1, "it was tried")
        assert len(shipping.waiting()) == 1
        await register.connection.execute("ALTER TABLE register.away RENAME TO lookup_log")
        await until(lambda: shipping.shipped == 1, "it is shipped when it can be")
    finally:
        running.cancel()
        await asyncio.wait([running])
        await shipping.flush(1)


async def test_a_month_without_a_partition_holds_up_no_other(
    directory: Path, register: RegisterWriter, write: Write, shipping: Shipping
) -> None:
    log = LookupLog(directory, uuid4().bytes)
    log.note(1_000_000, b"o" * 16, "key", 1, "call", 3, [CLEAR])  # in 1970
    log.close()
    write([EXCLUDED])
    running = asyncio.create_task(shipping.run())
    await until(lambda: shipping.shipped == len(shipping.waiting()) == 1, "the other is shipped and gone")
    running.cancel()
    await asyncio.wait([running])
    assert [row["outcome"] for row in await stored(register)] == ["EXCLUDED"]
    assert [path.stem for path in shipping.waiting()] == [f"{1:020}"]
    await register.connection.execute(
        "CREATE TABLE register.old PARTITION OF register.lookup_log FOR VALUES FROM ('1970-01-01Z') TO ('1971-01-01Z')"
    )
    await shipping.flush(5)
    assert (shipping.waiting(), len(await stored(register))) == ([], 2)


async def test_a_segment_is_stored_whole_or_not_at_all(
    database: Database, directory: Path, register: RegisterWriter, write: Write
) -> None:
    write([CLEAR] * 3_000, [CLEAR] * 3_000)
    slow = Shipping(database.replica_url, directory, entries_per_second=3_000)
    running = asyncio.create_task(slow.run())
    activity = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'COPY%' AND state = 'active'"

    async def copies() -> bool:
        return bool(await register.connection.fetchval(activity))

    await until(copies, "it has begun")
    running.cancel()
    await asyncio.wait([running])
    assert (await stored(register), await segments(register)) == ([], [])
    await slow.flush(5)
    assert (len(await stored(register)), slow.shipped) == (6_000, 6_000)


async def test_shipping_keeps_its_pace(
    database: Database, directory: Path, register: RegisterWriter, write: Write
) -> None:
    write(*([CLEAR] * 1_000 for _ in range(4)))
    begun = time.monotonic()
    shipping = Shipping(database.replica_url, directory, entries_per_second=4_000)
    running = asyncio.create_task(shipping.run())
    await until(lambda: shipping.shipped == 4_000, "all is shipped")
    running.cancel()
    await asyncio.wait([running])
    assert time.monotonic() - begun > 0.9


async def test_a_running_log_is_shipped_while_it_is_written(
    directory: Path, register: RegisterWriter, shipping: Shipping
) -> None:
    log = LookupLog(directory, uuid4().bytes, segment_age_ms=50)
    running = asyncio.create_task(shipping.run())
    try:
        for count in range(1, 6):
            log.note(time.time_ns() // 1_000, b"o" * 16, "key", 2, "call", 3, [EXCLUDED, CLEAR])
            await until(lambda count=count: shipping.shipped == 2 * count, "it is shipped")  # type: ignore[misc]
    finally:
        running.cancel()
        await asyncio.wait([running])
        await asyncio.to_thread(log.close)
    assert [row["sequence"] for row in await stored(register)] == list(range(1, 11))
    counts = log.counts()
    assert (counts.noted, counts.written, counts.dropped, counts.waiting) == (10, 10, 0, 0)


async def test_alarms_reach_python(tmp_path: Path) -> None:
    told: list[tuple[str, str]] = []
    log = LookupLog(
        tmp_path, uuid4().bytes, capacity=2, on_event=lambda name, cause: told.append((name, cause))
    )
    log.note(1, b"o" * 16, "key", 1, "call", 3, [CLEAR] * 3)
    await until(lambda: bool(told), "it is told")
    await asyncio.to_thread(log.close)
    assert [name for name, _ in told] == ["lookup_log.full"]
    assert log.counts().dropped == 3


async def test_a_name_that_the_database_cannot_hold_is_stored_as_it_can(
    directory: Path, register: RegisterWriter, shipping: Shipping
) -> None:
    log = LookupLog(directory, uuid4().bytes)
    log.note(time.time_ns() // 1_000, b"o" * 16, "key", 1, "a\0b", 3, [CLEAR])
    log.close()
    await shipping.flush(5)
    assert [row["correlation_id"] for row in await stored(register)] == ["a\ufffdb"]


async def test_a_stored_segment_cannot_be_changed(
    register: RegisterWriter, write: Write, shipping: Shipping
) -> None:
    write([CLEAR])
    await shipping.flush(5)
    for change in ("UPDATE register.lookup_segment SET entries = 2", "DELETE FROM register.lookup_segment"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="append-only"):
            await register.connection.execute(change)
