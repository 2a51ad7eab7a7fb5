"""`nser keys create`, `reseal`, `replica-keys` and `status`: files only, no server."""

import json

from lookup_core.cli.keys.opening import opened_ring
from lookup_core.cli.running.keys import ring_of
from lookup_core.kernel.secret_file import write_secret


def test_a_home_s_ring_is_sealed_by_a_credential_beside_it(nser, home):
    done = nser("keys", "create")
    assert done.exit_code == 0, done.output
    assert f"the credential {home.credential}" in done.output
    assert opened_ring() == ring_of(home)
    assert {path.stat().st_mode & 0o777 for path in home.secrets.iterdir()} == {0o600}


def test_a_ring_is_never_overwritten(nser, home):
    nser("keys", "create")
    before = home.keyring.read_bytes()
    done = nser("keys", "create")
    assert done.exit_code == 4
    assert "stays as it is" in done.output
    assert home.keyring.read_bytes() == before


def test_status_shows_versions_and_marks_and_no_key(nser, home):
    nser("keys", "create")
    told = json.loads(nser("keys", "status", "--json").stdout)
    assert told["provider"] == "credential"
    assert told["active"]["bst_salt"] == 1
    ring = opened_ring()
    shown = nser("keys", "status").output
    assert ring.active_kek in shown
    for text in (shown, json.dumps(told)):
        assert not [key for _, key in ring.named() if key.hex() in text]
    assert "audit_signing 1" in shown


def test_a_backup_under_a_passphrase_opens_with_it_and_with_nothing_else(nser, home, tmp_path, monkeypatch):
    nser("keys", "create")
    backup, passphrase = tmp_path / "backup.json", tmp_path / "passphrase"
    write_secret(passphrase, b"seven words drawn by dice are good\n", replace=True)
    monkeypatch.setenv("NSER_KEYRING_PASSPHRASE_FILE", str(passphrase))
    done = nser("keys", "reseal", "--into", backup, "--provider", "passphrase")
    assert done.exit_code == 0, done.output
    home.credential.unlink()
    home.keyring.rename(home.root / "lost")
    back = nser("keys", "reseal", "--file", backup, "--from-provider", "passphrase", "--into", home.keyring,
                "--provider", "credential")  # fmt: skip
    assert back.exit_code == 0, back.output
    assert nser("keys", "status").exit_code == 0
    write_secret(passphrase, b"six words drawn by dice are too few", replace=True)
    wrong = nser("keys", "reseal", "--file", backup, "--from-provider", "passphrase", "--into", tmp_path / "x",
                 "--provider", "credential")  # fmt: skip
    assert wrong.exit_code == 4
    assert "does not open this ring" in wrong.output
    assert not (tmp_path / "x").exists()


def test_a_provider_that_is_half_set_or_unknown_is_refused_with_the_setting(nser, monkeypatch):
    for provider, said in (("passphrase", "NSER_KEYRING_PASSPHRASE_FILE"), ("pkcs11", "NSER_PKCS11_LIBRARY")):
        monkeypatch.setenv("NSER_KEYRING_PROVIDER", provider)
        done = nser("keys", "status")
        assert done.exit_code == 4
        assert said in done.output
    monkeypatch.setenv("NSER_KEYRING_PROVIDER", "floppy")
    assert "NSER_KEYRING_PROVIDER" in nser("keys", "status").output


def test_replica_keys_are_written_again_and_again(nser, home):
    nser("keys", "create")
    for _ in range(2):
        assert nser("keys", "replica-keys").exit_code == 0
    assert home.replica_keys.stat().st_mode & 0o777 == 0o600
