"""Starting again from the snapshot file, on a real register, and everything that may be wrong with it."""

from __future__ import annotations

import asyncio
import random
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from lookup_core._dataplane import SavedIndex
from lookup_core.domain.blind import BlindKeys
from lookup_core.kernel.errors import SettingsRefused
from lookup_core.kernel.keyring import KeyRing
from lookup_core.replica import server
from lookup_core.replica.follower import Follower
from lookup_core.replica.snapshot_file import SnapshotFile
from nser.lookup.v1 import lookup_pb2
from tests.support import broken
from tests.support.founding import Key
from tests.support.register_writer import RegisterWriter
from tests.support.running_replica import RunningReplica, running_replica
from tests.support.services import Database
from tests.support.waiting import until

WANJIKU, OTIENO, NOBODY = "0712345678", "0722000111", "0733999888"


def by_phone(phone: str) -> lookup_pb2.Subject:
    return lookup_pb2.Subject(phone=phone)


class Site:
    """One replica's place: its register, its keys and its file, over several lives."""

    def __init__(self, url: str, register: RegisterWriter, key: Key, folder: Path) -> None:
        self.url = url
        self.register = register
        self.ring = register.ring
        self.key = key
        self.path = folder / "snapshot"

    @asynccontextmanager
    async def life(self, *, live: bool = True, **settings: Any) -> AsyncIterator[RunningReplica]:
        given = {"snapshot_file": self.path, "snapshot_every_s": 0, **settings}
        ring = given.pop("ring", self.ring)
        async with running_replica(self.url, ring, self.key, **given) as running:
            if live:
                await running.is_live()
            yield running

    async def leave_a_file(self) -> bytes:
        """Wanjiku is excluded, a replica has her, and leaves."""
        await self.register.person(WANJIKU, "12345678", token=b"t" * 16, excluded=True)
        async with self.life():
            pass
        return self.path.read_bytes()


@pytest.fixture
def site(database: Database, register: RegisterWriter, key: Key, tmp_path: Path) -> Site:
    return Site(database.replica_url, register, key, tmp_path)


def file_of(running: RunningReplica) -> SnapshotFile:
    return running.replica._file


def counts(running: RunningReplica) -> tuple[int, int]:
    """Starts from the file, and files refused."""
    file = file_of(running)
    return file.loaded, file.refused


def phase(running: RunningReplica) -> str:
    return str(running.replica.follower.phase)


async def test_a_replica_starts_from_the_file_it_left_and_catches_up(site: Site) -> None:
    await site.leave_a_file()
    await site.register.person(OTIENO, excluded=True)  # while nobody runs
    async with site.life() as again:
        assert counts(again) == (1, 0)
        assert again.replica.follower.position.revision == 2
        for subject in (by_phone(WANJIKU), by_phone(OTIENO)):
            assert await again.outcome(subject) == "EXCLUDED"
        answer = await again.check(by_phone(WANJIKU))
        assert answer.bst.startswith("BST-02-")
        assert await again.outcome(by_phone(NOBODY)) == "NOT_EXCLUDED"
    assert site.path.stat().st_mode & 0o777 == 0o600


async def test_no_check_of_a_warm_start_clears_who_was_registered_since_its_file(site: Site) -> None:
    """Asked from the first moment on, the store being held back: no lease without a grant and a read."""
    await site.leave_a_file()
    await site.register.person(OTIENO, excluded=True)
    async with site.life(live=False) as again:
        outcomes = set()
        while not again.lease_is_live():
            outcomes.add(await again.outcome(by_phone(OTIENO)))
        outcomes.add(await again.outcome(by_phone(OTIENO)))
    assert "NOT_EXCLUDED" not in outcomes
    assert "EXCLUDED" in outcomes


@pytest.mark.breaks
async def test_without_asking_the_store_it_clears_somebody(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    await site.leave_a_file()
    await site.register.person(OTIENO, excluded=True)
    monkeypatch.setattr(server, "Follower", broken.TrustsItsFile)

    async def no_poll(_: Follower) -> bool:
        await asyncio.sleep(10)  # a slow store: what the file arms is all there is
        return False

    monkeypatch.setattr(broken.TrustsItsFile, "poll", no_poll)
    async with site.life() as again:
        assert await again.outcome(by_phone(OTIENO)) == "NOT_EXCLUDED"


async def test_a_released_person_is_free_after_a_warm_start(site: Site) -> None:
    wanjiku = await site.register.person(WANJIKU, excluded=True)
    async with site.life():
        pass
    await site.register.release(wanjiku, next(iter(wanjiku.exclusions)))
    async with site.life() as again:
        assert counts(again) == (1, 0)
        assert await again.outcome(by_phone(WANJIKU)) == "NOT_EXCLUDED"


async def test_it_is_written_at_intervals_and_only_when_something_changed(site: Site) -> None:
    async with site.life(snapshot_every_s=1) as running:
        await site.register.person(WANJIKU, excluded=True)
        await until(lambda: file_of(running).written == 1, "it is written")
        held = site.path.stat()
        await asyncio.sleep(1.5)  # one interval more, in which nothing changes
        assert site.path.stat().st_ino == held.st_ino
        await site.register.person(OTIENO, excluded=True)
        await until(lambda: file_of(running).written == 2, "it is written again")
        assert SavedIndex(site.path, site.ring.replica_keys().snapshot).revision == 2


async def refused(site: Site, **settings: Any) -> None:
    """The file is of no use: the register is read, and every answer is right."""
    async with site.life(**settings) as again:
        assert counts(again) == (0, 1)
        assert await again.outcome(by_phone(WANJIKU)) == "EXCLUDED"
        assert await again.outcome(by_phone(NOBODY)) == "NOT_EXCLUDED"


async def test_a_damaged_file_is_not_used(site: Site) -> None:
    whole = await site.leave_a_file()
    chance = random.Random(1)
    at = [chance.randrange(len(whole)) for _ in range(50)]
    for damaged in (
        b"",
        whole[: len(whole) // 2],
        whole + b"\0",
        *(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :] for place in at),
        whole[:-1],
    ):
        site.path.write_bytes(damaged)
        file = SnapshotFile(site.path, key=site.ring.replica_keys().snapshot, keys=site.ring.blind)
        assert file.position() is None or await file.load() is None
        assert file.refused == 1
    await refused(site)


async def test_a_file_of_other_keys_is_not_used(site: Site) -> None:
    await site.leave_a_file()
    other = SnapshotFile(site.path, key=KeyRing.create().replica_keys().snapshot, keys=site.ring.blind)
    assert other.position() is None
    assert other.refused == 1
    keys = site.ring.replica_keys()
    assert SnapshotFile(site.path, key=keys.snapshot, keys=site.ring.blind).position() is not None
    rotated = replace(keys, blind=BlindKeys(2, b"P" * 32, b"D" * 32, before=keys.blind))
    assert rotated.snapshot == keys.snapshot, "a rotation leaves the file: it says what it holds"
    assert SnapshotFile(site.path, key=keys.snapshot, keys=rotated.blind).position() is not None


async def test_a_file_of_another_store_is_not_used(site: Site) -> None:
    """A restore that was declared: the store has a new id, and its history begins anew."""
    await site.leave_a_file()
    await site.register.connection.execute("UPDATE register.head SET store_id = $1", uuid4())
    async with site.life(live=False) as again:
        await until(lambda: counts(again) == (0, 1), "the file is refused")


async def test_a_file_older_than_the_feed_is_not_used(site: Site) -> None:
    await site.leave_a_file()
    await site.register.person(OTIENO, excluded=True)
    await site.register.connection.execute(
        "DELETE FROM register.change WHERE revision < 2"
    )  # as pruning does
    await refused(site)


async def test_a_file_ahead_of_the_store_halts_the_replica(site: Site) -> None:
    """SAFETY.md 14: it knows of exclusions that the store has lost, and does not forget them by itself."""
    await site.leave_a_file()
    await site.register.person(OTIENO, excluded=True)
    async with site.life():
        pass
    await site.register.lose(1)
    async with site.life(live=False) as again:
        await until(lambda: phase(again) == "halted", "the replica halts")
        assert await again.outcome(by_phone(NOBODY)) == "REPLICA_LOADING"
    async with site.life(live=False) as again:  # nor does it forget them by being started again
        await until(lambda: phase(again) == "halted", "the replica halts")


async def test_a_file_of_another_history_halts_the_replica(site: Site) -> None:
    await site.leave_a_file()
    await site.register.lose(1)
    await site.register.person(OTIENO, excluded=True)  # the same revision, of another person
    async with site.life(live=False) as again:
        await until(lambda: phase(again) == "halted", "the replica halts")


async def test_a_store_that_grants_nothing_at_the_files_revision_is_read_anew(site: Site) -> None:
    """Rule 22: the register has gone over to another version of the blind index."""
    await site.leave_a_file()
    await site.register.connection.execute("UPDATE register.head SET key_version = 2")
    async with site.life(live=False) as again:
        await until(lambda: phase(again) == "closed", "the replica closes")
        assert counts(again) == (1, 0)
        assert not again.lease_is_live()


async def test_what_cannot_be_written_is_told_and_changes_no_answer(site: Site) -> None:
    whole = await site.leave_a_file()
    site.path.with_name(".snapshot.draft").mkdir()
    async with site.life() as running:
        await site.register.person(OTIENO, excluded=True)
        await running.has(2)
        await file_of(running).write(*running.replica.follower.whole)
        assert (file_of(running).failed, file_of(running).written) == (1, 0)
        assert await running.outcome(by_phone(OTIENO)) == "EXCLUDED"
        assert "nser_replica_snapshot_file_failed_total 1.0" in running.replica._metrics.page().decode()
    assert site.path.read_bytes() == whole


def test_a_place_where_no_file_can_be_is_refused_at_the_start(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none" / "snapshot"):
        with pytest.raises(SettingsRefused, match="NSER_REPLICA_SNAPSHOT_FILE"):
            SnapshotFile(path, key=b"k" * 32, keys=KeyRing.create().blind)


KEEPS_WRITING = """
import sys
from pathlib import Path
from lookup_core._dataplane import Index, Picture
from nser.feed.v1 import feed_pb2
index = Index(bytes(16))
for revision in range(1, 1_000_000):
    change = feed_pb2.Change()
    for who in range(1, 3000) if revision == 1 else [3000 + revision]:
        change.statements.add().person.CopyFrom(feed_pb2.PersonStated(person_no=who, phones=[who.to_bytes(16)]))
    index.apply(revision, change.SerializeToString())
    Picture(index).write(Path(sys.argv[1]), key=b"k" * 32, digest=b"d" * 32)
    if revision == 2:
        print("writes", flush=True)
"""


def test_a_writer_that_is_killed_leaves_a_whole_file(tmp_path: Path) -> None:
    chance, revision = random.Random(2), 0
    for _ in range(5):
        path = tmp_path / "snapshot"
        command = [sys.executable, "-c", KEEPS_WRITING, str(path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            assert writer.stdout.readline() == "writes\n"
            time.sleep(chance.uniform(0, 0.2))  # wherever it is then
            writer.send_signal(signal.SIGKILL)
        saved = SavedIndex(path, b"k" * 32)
        index = saved.load()
        assert index.revision == saved.revision >= 2
        assert index.people == 2999 + index.revision - 1
        revision = max(revision, index.revision)
    assert revision > 2
