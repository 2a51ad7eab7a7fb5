import json
import os
from dataclasses import fields

import pytest

from lookup_core.domain.blind import blind_phone
from lookup_core.domain.phone import parse_phone
from lookup_core.kernel.errors import SettingsRefused
from lookup_core.kernel.keyring import VERSIONED, KeyRing, ReplicaKeys, derive
from lookup_core.kernel.secret_file import write_secret


@pytest.fixture
def ring():
    return KeyRing.create()


def test_a_ring_is_read_as_it_was_written(ring, tmp_path):
    ring.save(tmp_path / "ring.json")
    assert KeyRing.load(tmp_path / "ring.json") == ring


def test_replica_keys_are_read_as_they_were_written(ring, tmp_path):
    keys = ring.replica_keys()
    keys.save(tmp_path / "keys.json")
    keys.save(tmp_path / "keys.json")
    assert ReplicaKeys.load(tmp_path / "keys.json") == keys


def test_files_are_their_owners_alone_whatever_the_umask(ring, tmp_path):
    earlier = os.umask(0)
    try:
        ring.save(tmp_path / "ring.json")
        ring.replica_keys().save(tmp_path / "keys.json")
    finally:
        os.umask(earlier)
    assert {path.stat().st_mode & 0o7777 for path in tmp_path.iterdir()} == {0o600}
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o620, 0o700])
def test_a_file_that_others_can_read_is_refused_with_the_fix(ring, tmp_path, mode):
    path = tmp_path / "ring.json"
    ring.save(path)
    path.chmod(mode)
    with pytest.raises(SettingsRefused, match=f"chmod 600 {path}") as refused:
        KeyRing.load(path)
    assert "NSER_KEYRING_FILE" in str(refused.value)


def test_a_read_only_mount_is_accepted(ring, tmp_path):
    ring.save(tmp_path / "ring.json")
    (tmp_path / "ring.json").chmod(0o400)
    assert KeyRing.load(tmp_path / "ring.json") == ring


def test_an_existing_ring_is_not_lost_to_a_second_start(ring, tmp_path):
    ring.save(tmp_path / "ring.json")
    with pytest.raises(FileExistsError):
        KeyRing.create().save(tmp_path / "ring.json")
    assert KeyRing.load(tmp_path / "ring.json") == ring
    assert [path.name for path in tmp_path.iterdir()] == ["ring.json"]


def test_a_failed_write_leaves_the_older_file_whole(tmp_path, monkeypatch):
    path = tmp_path / "keys.json"
    write_secret(path, b"older", replace=True)
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        write_secret(path, b"newer", replace=True)
    assert path.read_bytes() == b"older"
    assert [each.name for each in tmp_path.iterdir()] == ["keys.json"]


@pytest.mark.parametrize("kind", [KeyRing, ReplicaKeys])
def test_a_missing_file_or_a_folder_is_refused(kind, tmp_path):
    for path in (tmp_path / "none.json", tmp_path):
        with pytest.raises(SettingsRefused, match="nser keys"):
            kind.load(path)


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"null", b'"x"', b"{}", b"\xff\xfe", b'{"format": "other"}', b"[" * 100_000],
)
@pytest.mark.parametrize("kind", [KeyRing, ReplicaKeys])
def test_a_damaged_file_is_refused(kind, content, tmp_path):
    write_secret(tmp_path / "file", content, replace=True)
    with pytest.raises(SettingsRefused, match="damaged"):
        kind.load(tmp_path / "file")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("pepper", "AAAA"),
        ("pepper", None),
        ("keks", {}),
        ("active_kek", "kek-x"),
        ("blind_roots", {"active": 2, "keys": {"1": "A" * 43 + "="}}),
    ],
)
def test_a_ring_with_a_wrong_part_is_refused(ring, tmp_path, name, value):
    ring.save(tmp_path / "ring.json")
    content = json.loads((tmp_path / "ring.json").read_text()) | {name: value}
    write_secret(tmp_path / "ring.json", json.dumps(content).encode(), replace=True)
    with pytest.raises(SettingsRefused, match="damaged"):
        KeyRing.load(tmp_path / "ring.json")


def test_a_ring_is_not_taken_for_replica_keys(ring, tmp_path):
    ring.save(tmp_path / "ring.json")
    with pytest.raises(SettingsRefused, match="not a file of this kind"):
        ReplicaKeys.load(tmp_path / "ring.json")


def test_replicas_get_nothing_that_decrypts_or_mints(ring, tmp_path):
    keys = ring.replica_keys()
    assert {field.name for field in fields(keys)} == {"blind", "feed", "revision", "pepper"}
    keys.save(tmp_path / "keys.json")
    ring.save(tmp_path / "ring.json")
    whole = json.loads((tmp_path / "ring.json").read_text())
    withheld = [*whole["keks"].values(), whole["request"]]
    withheld += [key for name in VERSIONED for key in whole[name]["keys"].values()]
    shipped = (tmp_path / "keys.json").read_text()
    assert not [secret for secret in withheld if secret in shipped]


def test_each_type_of_identifier_has_its_own_sub_key(ring):
    assert len({ring.blind.phone, ring.blind.document, ring.blind_roots.current}) == 3
    assert derive(b"r" * 32, "a") != derive(b"r" * 32, "b") != derive(b"R" * 32, "b")


def test_both_sides_blind_alike_after_a_restart(ring, tmp_path):
    ring.save(tmp_path / "ring.json")
    ring.replica_keys().save(tmp_path / "keys.json")
    phone = parse_phone("0712345678")
    registrar, replica = KeyRing.load(tmp_path / "ring.json"), ReplicaKeys.load(tmp_path / "keys.json")
    assert blind_phone(registrar.blind, phone) == blind_phone(replica.blind, phone)


def test_secrets_do_not_show_themselves(ring):
    assert f"{ring} {ring.replica_keys()!r} {ring.blind}" == "[secret] [secret] [secret]"
