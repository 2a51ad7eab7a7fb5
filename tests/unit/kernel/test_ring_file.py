import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import MappingProxyType

import pytest

from lookup_core.kernel.errors import SettingsRefused
from lookup_core.kernel.keyring import KeyRing, Versions
from lookup_core.kernel.providers.passphrase import Passphrase
from lookup_core.kernel.ring_file import RingFile
from lookup_core.kernel.secret_file import write_secret
from tests.support.rings import kept_in, ring_file_in


@pytest.fixture
def file(tmp_path):
    kept_in(tmp_path, KeyRing.create())
    return ring_file_in(tmp_path)


def refused(act):
    with pytest.raises(SettingsRefused) as raised:
        act()
    return raised.value.problems


def test_a_ring_is_read_as_it_was_written_and_lies_in_no_file_in_clear(tmp_path):
    ring = KeyRing.create().with_new("bst_salt").with_new_kek()
    kept_in(tmp_path, ring)
    assert ring_file_in(tmp_path).load() == ring
    written = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert not [text for text in json.loads(ring.to_bytes())["keks"].values() if text.encode() in written]


def test_the_files_are_their_owners_alone_whatever_the_umask(tmp_path):
    earlier = os.umask(0)
    try:
        kept_in(tmp_path, KeyRing.create())
        ring_file_in(tmp_path).change(lambda ring: ring.with_new("webhook"))
    finally:
        os.umask(earlier)
    assert {path.stat().st_mode & 0o7777 for path in tmp_path.iterdir()} == {0o600}


def test_an_existing_ring_is_not_lost_to_a_second_start(file):
    before = file.load()
    with pytest.raises(FileExistsError):
        file.create(KeyRing.create())
    assert file.load() == before


def test_a_file_that_others_can_read_is_refused_with_the_fix(file):
    file.path.chmod(0o644)
    [told] = refused(file.load)
    assert told.startswith("NSER_KEYRING_FILE: ")
    assert f"chmod 600 {file.path}" in told


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"null", b'"x"', b"{}", b"\xff\xfe", b'{"format": "nser-keyring-2"}', b"[" * 100_000],
)
def test_what_is_no_ring_is_refused(file, content):
    write_secret(file.path, content, replace=True)
    [told] = refused(file.load)
    assert "is damaged: not a file of this kind" in told


def test_a_missing_ring_is_refused_with_what_makes_one(tmp_path):
    [told] = refused(ring_file_in(tmp_path).load)
    assert "nser keys create" in told


@pytest.mark.parametrize("part", ["parameters", "wrapped_key", "sealed"])
def test_no_part_of_the_file_can_be_exchanged(file, tmp_path, part):
    (tmp_path / "other").mkdir()
    other = RingFile(tmp_path / "other" / "keyring.json", file.provider)  # the same credential
    other.create(KeyRing.create())
    written, foreign = json.loads(file.path.read_bytes()), json.loads(other.path.read_bytes())
    written[part] = {"x": "y"} if part == "parameters" else foreign[part]
    write_secret(file.path, json.dumps(written).encode(), replace=True)
    [told] = refused(file.load)
    assert "altered after it was sealed" in told


def test_a_ring_of_another_provider_is_refused_with_the_setting(file, tmp_path):
    write_secret(tmp_path / "passphrase", b"seven words drawn by dice are good", replace=True)
    [told] = refused(RingFile(file.path, Passphrase(tmp_path / "passphrase")).load)
    assert told.endswith("Set NSER_KEYRING_PROVIDER=credential.")


@pytest.mark.parametrize(
    ("spoiled", "said"),
    [
        (lambda ring: replace(ring, feed=bytes(32)), "The key feed is all zeros"),
        (lambda ring: replace(ring, pepper=ring.feed), "The keys feed and pepper are the same one"),
        (lambda ring: replace(ring, webhook=Versions({1: b"ab" * 16}, 1)), "webhook version 1 repeats"),
        (
            lambda ring: replace(ring, keks=MappingProxyType({ring.active_kek: bytes(range(32))})),
            "kek-",
        ),
    ],
)
def test_a_weak_key_is_neither_read_nor_written_and_is_named(file, monkeypatch, spoiled, said):
    weak = spoiled(file.load())
    assert said in refused(lambda: file.change(lambda _: weak))[0]
    with monkeypatch.context() as patched:
        patched.setattr("lookup_core.kernel.ring_file.weaknesses", lambda _: [])
        file.change(lambda _: weak)
    assert said in refused(file.load)[0]


def test_every_weak_key_is_told_at_once(file):
    weak = replace(file.load(), feed=bytes(32), webhook=Versions({1: b"ab" * 16}, 1))
    assert len(refused(lambda: file.change(lambda _: weak))) == 2


def test_two_who_rotate_at_once_lose_neither_key(file):
    before = file.load()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: file.change(lambda ring: ring.with_new("bst_salt")), range(24)))
    after = file.load().bst_salt
    assert (after.active, len(after.keys)) == (25, 25)
    assert after.of(1) == before.bst_salt.current


def test_a_change_that_fails_leaves_the_file_as_it_was(file, monkeypatch):
    before = file.path.read_bytes()
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        file.change(lambda ring: ring.with_new_kek())
    assert file.path.read_bytes() == before
