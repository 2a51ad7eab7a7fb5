"""What every provider of the ring's outermost key keeps, on each real one: a credential file, Argon2id, SoftHSM2, and
the transit API over HTTP; and what each says when something is wrong.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path

import pytest

from lookup_core.kernel.errors import SettingsRefused
from lookup_core.kernel.keyring import KeyRing
from lookup_core.kernel.providers.credential import Credential
from lookup_core.kernel.providers.passphrase import Passphrase
from lookup_core.kernel.providers.pkcs11 import Pkcs11
from lookup_core.kernel.providers.port import KeyProvider, Wrapped
from lookup_core.kernel.providers.vault import VaultTransit
from lookup_core.kernel.ring_file import RingFile
from lookup_core.kernel.secret_file import write_secret
from tests.support.softhsm import LIBRARY, SoftHsm
from tests.support.vault import FakeVault, fake_vault

KEY, PLACE = os.urandom(32), b"nser/test/1"
PASSPHRASE = b"seven words drawn by dice are good\n"
pytestmark = pytest.mark.xdist_group("key providers")


@dataclass(frozen=True)
class Case:
    """A provider, the same one after a restart, and another one of its kind with another key."""

    provider: KeyProvider
    again: Callable[[], KeyProvider]
    other: KeyProvider


@pytest.fixture
def hsm(tmp_path: Path) -> SoftHsm:
    made = SoftHsm.in_folder(tmp_path / "hsm")
    made.make_token("nser")
    return made


@pytest.fixture
def vault() -> Iterator[FakeVault]:
    with fake_vault() as running:
        yield running


def _credential(folder: Path) -> Case:
    def made() -> KeyProvider:
        return Credential(folder / "credential")

    return Case(made(), made, Credential(folder / "other"))


def _passphrase(folder: Path) -> Case:
    write_secret(folder / "passphrase", PASSPHRASE, replace=True)
    write_secret(folder / "other", PASSPHRASE.upper(), replace=True)
    return Case(
        Passphrase(folder / "passphrase"),
        lambda: Passphrase(folder / "passphrase"),
        Passphrase(folder / "other"),
    )


def _pkcs11(hsm: SoftHsm) -> Case:
    def made(key: str = "nser-keyring") -> Pkcs11:
        return Pkcs11(LIBRARY, "nser", key, hsm.pin_file)

    return Case(made(), made, made("another"))


def _vault(folder: Path, vault: FakeVault) -> Case:
    write_secret(folder / "token", f"{vault.token}\n".encode(), replace=True)
    vault.keys["another"] = os.urandom(32)

    def made(key: str = "nser-keyring") -> VaultTransit:
        return VaultTransit(vault.address, "transit", key, folder / "token")

    return Case(made(), made, made("another"))


@pytest.fixture(params=["credential", "passphrase", "pkcs11", "vault"])
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Case:
    match request.param:
        case "credential":
            made = _credential(tmp_path)
        case "passphrase":
            made = _passphrase(tmp_path)
        case "pkcs11":
            made = _pkcs11(request.getfixturevalue("hsm"))
        case _:
            made = _vault(tmp_path, request.getfixturevalue("vault"))
    made.provider.prepare()
    made.other.prepare()
    return made


# -- the contract


def test_what_was_wrapped_unwraps_also_after_a_restart(case: Case) -> None:
    wrapped = case.provider.wrap(KEY, PLACE)
    assert case.provider.unwrap(wrapped, PLACE) == KEY
    assert case.again().unwrap(wrapped, PLACE) == KEY
    assert KEY not in wrapped.wrapped


def test_wrapping_twice_gives_other_bytes(case: Case) -> None:
    assert case.provider.wrap(KEY, PLACE).wrapped != case.provider.wrap(KEY, PLACE).wrapped


def test_what_is_altered_moved_or_of_another_key_is_refused_with_the_setting(case: Case) -> None:
    wrapped = case.provider.wrap(KEY, PLACE)
    last = wrapped.wrapped[:-2] + bytes([wrapped.wrapped[-2] ^ 1]) + wrapped.wrapped[-1:]
    attempts = [
        lambda: case.provider.unwrap(replace(wrapped, wrapped=last), PLACE),
        lambda: case.provider.unwrap(replace(wrapped, wrapped=wrapped.wrapped[:20]), PLACE),
        lambda: case.provider.unwrap(replace(wrapped, wrapped=b""), PLACE),
        lambda: case.provider.unwrap(wrapped, b"another place"),
        lambda: case.other.unwrap(wrapped, PLACE),
    ]
    for attempt in attempts:
        with pytest.raises(SettingsRefused, match=r"NSER_\w+: .*does not open this ring"):
            attempt()


def test_preparing_again_keeps_the_key(case: Case) -> None:
    wrapped = case.provider.wrap(KEY, PLACE)
    assert case.provider.prepare() == ""
    assert case.provider.unwrap(wrapped, PLACE) == KEY


def test_a_ring_sealed_by_it_is_opened_by_it_alone(case: Case, tmp_path: Path) -> None:
    ring, path = KeyRing.create(), tmp_path / "ring.json"
    RingFile(path, case.provider).create(ring)
    assert RingFile(path, case.again()).load() == ring
    with pytest.raises(SettingsRefused, match="does not open this ring"):
        RingFile(path, case.other).load()
    kept = path.read_bytes()
    assert not [key for _, key in ring.named() if key in kept]


def _unwrap(provider: KeyProvider, wrapped: Wrapped) -> bytes:
    return provider.unwrap(wrapped, PLACE)


def test_a_process_that_was_forked_after_the_first_use_works(case: Case) -> None:
    """The library of an HSM must be initialised in the process that uses it."""
    wrapped = case.provider.wrap(KEY, PLACE)
    with get_context("fork").Pool(1) as pool:
        assert pool.apply_async(_unwrap, (case.provider, wrapped)).get(timeout=30) == KEY
    assert case.provider.unwrap(wrapped, PLACE) == KEY


# -- what each says


def refused(act: Callable[[], object]) -> str:
    with pytest.raises(SettingsRefused) as raised:
        act()
    assert len(raised.value.problems) == 1
    return raised.value.problems[0]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "has 0 bytes"),
        (b"AAAA", "has 3 bytes and must have 32"),
        (b"A" * 43 + b"=", "is all zeros"),
        (b"not base64!", "not a key in base64"),
    ],
)
def test_a_weak_credential_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    write_secret(tmp_path / "credential", content, replace=True)
    told = refused(lambda: Credential(tmp_path / "credential").wrap(KEY, PLACE))
    assert told.startswith("NSER_KEYRING_CREDENTIAL_FILE: ")
    assert said in told


@pytest.mark.parametrize("content", [b"", b"short", b"a" * 40, b"abcabcabcabcabcabc"])
def test_a_weak_passphrase_is_refused_and_not_repeated(tmp_path: Path, content: bytes) -> None:
    write_secret(tmp_path / "passphrase", content + b"\n", replace=True)
    told = refused(lambda: Passphrase(tmp_path / "passphrase").wrap(KEY, PLACE))
    assert told.startswith("NSER_KEYRING_PASSPHRASE_FILE: ")
    assert "too weak" in told
    assert not content or content.decode() not in told.replace(str(tmp_path), "")


CHANGED = [("memory_kib", "8"), ("memory_kib", "999999999"), ("iterations", "0"), ("iterations", "x")]
CHANGED += [("lanes", "1000"), ("kdf", "none"), ("salt", "")]


@pytest.mark.parametrize(("name", "value"), CHANGED)
def test_a_file_cannot_make_guessing_cheap_or_eat_the_memory(tmp_path: Path, name: str, value: str) -> None:
    write_secret(tmp_path / "passphrase", PASSPHRASE, replace=True)
    provider = Passphrase(tmp_path / "passphrase")
    wrapped = provider.wrap(KEY, PLACE)
    altered = replace(wrapped, parameters={**wrapped.parameters, name: value})
    assert "derivation that this version does not do" in refused(lambda: provider.unwrap(altered, PLACE))


def test_a_wrong_pin_label_or_library_is_told_by_its_setting(hsm: SoftHsm, tmp_path: Path) -> None:
    right = Pkcs11(LIBRARY, "nser", "nser-keyring", hsm.pin_file)
    assert "nser keys create" in refused(lambda: right.wrap(KEY, PLACE))
    right.prepare()
    wrapped = right.wrap(KEY, PLACE)
    write_secret(tmp_path / "pin", b"0000-wrong", replace=True)
    wrong_pin = refused(lambda: replace(right, pin_file=tmp_path / "pin").unwrap(wrapped, PLACE))
    assert wrong_pin.startswith("NSER_PKCS11_PIN_FILE: ")
    assert "refuses the PIN" in wrong_pin
    wrong_token = refused(lambda: replace(right, token="absent").unwrap(wrapped, PLACE))
    assert wrong_token.startswith("NSER_PKCS11_TOKEN: ")
    assert "it has nser" in wrong_token
    assert refused(lambda: replace(right, key="absent").unwrap(wrapped, PLACE)).startswith(
        "NSER_PKCS11_KEY: "
    )
    nowhere = replace(right, library=tmp_path / "none.so")
    assert refused(lambda: nowhere.unwrap(wrapped, PLACE)).startswith("NSER_PKCS11_LIBRARY: there is no file")
    assert right.unwrap(wrapped, PLACE) == KEY


def test_a_token_that_was_away_is_told_and_found_again(hsm: SoftHsm) -> None:
    provider = Pkcs11(LIBRARY, "nser", "nser-keyring", hsm.pin_file)
    provider.prepare()
    wrapped = provider.wrap(KEY, PLACE)
    hsm.away()
    assert "NSER_PKCS11_" in refused(lambda: provider.unwrap(wrapped, PLACE))
    hsm.back()
    assert provider.unwrap(wrapped, PLACE) == KEY


def test_a_key_that_can_be_read_out_of_the_token_is_refused(hsm: SoftHsm) -> None:
    import pkcs11

    library = pkcs11.lib(str(LIBRARY))
    with library.get_token(token_label="nser").open(
        rw=True, user_pin=hsm.pin_file.read_text().strip()
    ) as session:
        open_key = {pkcs11.Attribute.EXTRACTABLE: True, pkcs11.Attribute.SENSITIVE: False}
        session.generate_key(pkcs11.KeyType.AES, 256, label="open", store=True, template=open_key)
    provider = Pkcs11(LIBRARY, "nser", "open", hsm.pin_file)
    assert "may be read out" in refused(lambda: provider.wrap(KEY, PLACE))


def test_a_service_that_is_away_sealed_or_refuses_is_told(vault: FakeVault, tmp_path: Path) -> None:
    write_secret(tmp_path / "token", vault.token.encode(), replace=True)
    right = VaultTransit(vault.address, "transit", "nser-keyring", tmp_path / "token")
    wrapped = right.wrap(KEY, PLACE)
    assert refused(lambda: replace(right, key="absent").prepare()).startswith("NSER_VAULT_KEY: ")
    assert refused(lambda: replace(right, address="http://127.0.0.1:1").prepare()).startswith(
        "NSER_VAULT_ADDRESS: "
    )
    vault.is_sealed = True
    assert "sealed" in refused(lambda: right.unwrap(wrapped, PLACE))
    vault.is_sealed = False
    vault.token = "another"
    told = refused(lambda: right.unwrap(wrapped, PLACE))
    assert told.startswith("NSER_VAULT_TOKEN_FILE: ")
    assert "hvs." not in told


@pytest.mark.parametrize("address", ["http://vault.example.go.ke:8200", "ftp://127.0.0.1", "vault:8200", ""])
def test_the_token_is_never_sent_in_clear_to_another_machine(tmp_path: Path, address: str) -> None:
    write_secret(tmp_path / "token", b"hvs.secret", replace=True)
    provider = VaultTransit(address, "transit", "nser-keyring", tmp_path / "token")
    assert "must be an https:// address" in refused(lambda: provider.wrap(KEY, PLACE))
