import json
import os
from dataclasses import fields, replace

import pytest

from lookup_core.domain.blind import blind_phone
from lookup_core.domain.phone import parse_phone
from lookup_core.kernel.errors import SettingsRefused
from lookup_core.kernel.keyring import ROOTS, VERSIONED, KeyRing, ReplicaKeys, Versions, derive
from lookup_core.kernel.secret_file import write_secret


@pytest.fixture
def ring():
    return KeyRing.create()


def test_a_ring_is_read_as_it_was_written(ring):
    assert KeyRing.from_bytes(ring.to_bytes()) == ring


def test_replica_keys_are_read_as_they_were_written(ring, tmp_path):
    keys = ring.replica_keys()
    keys.save(tmp_path / "keys.json")
    keys.save(tmp_path / "keys.json")
    assert ReplicaKeys.load(tmp_path / "keys.json") == keys


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o620, 0o700])
def test_a_file_that_others_can_read_is_refused_with_the_fix(ring, tmp_path, mode):
    path = tmp_path / "keys.json"
    ring.replica_keys().save(path)
    path.chmod(mode)
    with pytest.raises(SettingsRefused, match=f"chmod 600 {path}") as refused:
        ReplicaKeys.load(path)
    assert "NSER_REPLICA_KEYS_FILE" in str(refused.value)


def test_a_read_only_mount_is_accepted(ring, tmp_path):
    ring.replica_keys().save(tmp_path / "keys.json")
    (tmp_path / "keys.json").chmod(0o400)
    assert ReplicaKeys.load(tmp_path / "keys.json") == ring.replica_keys()


def test_a_failed_write_leaves_the_older_file_whole(tmp_path, monkeypatch):
    path = tmp_path / "keys.json"
    write_secret(path, b"older", replace=True)
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        write_secret(path, b"newer", replace=True)
    assert path.read_bytes() == b"older"
    assert [each.name for each in tmp_path.iterdir()] == ["keys.json"]


def test_a_missing_file_or_a_folder_is_refused(tmp_path):
    for path in (tmp_path / "none.json", tmp_path):
        with pytest.raises(SettingsRefused, match="nser keys replica-keys"):
            ReplicaKeys.load(path)


DAMAGED = [b"", b"[]", b"null", b'"x"', b"{}", b"\xff\xfe", b'{"format": "other"}', b"[" * 100_000]


@pytest.mark.parametrize("content", DAMAGED)
def test_a_damaged_file_is_refused(content, tmp_path):
    write_secret(tmp_path / "file", content, replace=True)
    with pytest.raises(SettingsRefused, match="damaged"):
        ReplicaKeys.load(tmp_path / "file")
    with pytest.raises(ValueError, match=r"."):
        KeyRing.from_bytes(content)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("pepper", "AAAA", "pepper: a key of 3 bytes, and it must have 32"),
        ("pepper", None, "pepper"),
        ("keks", {}, "active keys"),
        ("keks", {"kek-1": "AAAA"}, "keks: a key of 3 bytes"),
        ("active_kek", "kek-x", "active keys"),
        ("blind_roots", {"active": 2, "keys": {"1": "A" * 43 + "="}}, "blind_roots: the version in use"),
        ("webhook", {"active": 1, "keys": {"1": "AAAA"}}, "webhook: a key of 3 bytes"),
    ],
)
def test_a_ring_with_a_wrong_part_is_refused_and_the_part_is_named(ring, name, value, said):
    content = json.loads(ring.to_bytes()) | {name: value}
    with pytest.raises(ValueError, match=said):
        KeyRing.from_bytes(json.dumps(content).encode())


@pytest.mark.parametrize("name", [*VERSIONED, *ROOTS, "keks", "active_kek"])
def test_a_ring_without_a_part_is_refused_and_the_part_is_named(ring, name):
    content = json.loads(ring.to_bytes())
    del content[name]
    with pytest.raises(ValueError, match=name):
        KeyRing.from_bytes(json.dumps(content).encode())


def test_weak_replica_keys_are_refused(ring, tmp_path):
    replace(ring.replica_keys(), feed=bytes(32)).save(tmp_path / "keys.json")
    with pytest.raises(SettingsRefused, match="The key feed is all zeros"):
        ReplicaKeys.load(tmp_path / "keys.json")


def test_replicas_get_nothing_that_decrypts_or_mints(ring, tmp_path):
    keys = ring.replica_keys()
    assert {field.name for field in fields(keys)} == {"blind", "feed", "revision", "pepper", "pairing"}
    keys.save(tmp_path / "keys.json")
    whole = json.loads(ring.to_bytes())
    withheld = [*whole["keks"].values(), whole["request"]]
    withheld += [key for name in VERSIONED for key in whole[name]["keys"].values()]
    shipped = (tmp_path / "keys.json").read_text()
    assert not [secret for secret in withheld if secret in shipped]


@pytest.mark.parametrize("purpose", VERSIONED)
def test_a_new_version_is_in_use_and_the_older_one_stays(ring, purpose):
    rotated = ring.with_new(purpose)
    before, after = getattr(ring, purpose), getattr(rotated, purpose)
    assert (before.active, after.active) == (1, 2)
    assert after.of(1) == before.current
    assert after.current != before.current
    assert {name for name in VERSIONED if getattr(ring, name) != getattr(rotated, name)} == {purpose}
    assert KeyRing.from_bytes(rotated.to_bytes()) == rotated


def test_a_new_version_is_higher_than_every_one_that_was(ring):
    apart = Versions({1: bytes(32), 7: b"x" * 32}, 1)
    assert apart.with_new().active == 8


def test_a_new_master_key_is_in_use_and_an_old_one_can_leave(ring):
    rotated = ring.with_new_kek()
    assert rotated.active_kek != ring.active_kek
    assert rotated.keks[ring.active_kek] == ring.keks[ring.active_kek]
    assert set(rotated.without_kek(ring.active_kek).keks) == {rotated.active_kek}
    with pytest.raises(ValueError, match="in use"):
        rotated.without_kek(rotated.active_kek)
    with pytest.raises(KeyError):
        rotated.without_kek("kek-other")


def test_each_type_of_identifier_has_its_own_sub_key(ring):
    assert len({ring.blind.phone, ring.blind.document, ring.blind_roots.current}) == 3
    assert derive(b"r" * 32, "a") != derive(b"r" * 32, "b") != derive(b"R" * 32, "b")


def test_both_sides_blind_alike_after_a_restart(ring, tmp_path):
    ring.replica_keys().save(tmp_path / "keys.json")
    phone = parse_phone("0712345678")
    registrar, replica = KeyRing.from_bytes(ring.to_bytes()), ReplicaKeys.load(tmp_path / "keys.json")
    assert blind_phone(registrar.blind, phone) == blind_phone(replica.blind, phone)


def test_secrets_do_not_show_themselves(ring):
    assert f"{ring} {ring.replica_keys()!r} {ring.blind}" == "[secret] [secret] [secret]"
