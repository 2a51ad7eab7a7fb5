"""The key ring: every secret of the register in one file, and the part of it that replicas get.

Replicas hold what they need to answer (blind sub-keys, feed, revision and API-key secrets) and nothing that
decrypts personal data or mints a token. Losing the ring loses the register: it is backed up apart from the
database.
"""

import json
import secrets
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Self

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from lookup_core.domain.blind import BlindKeys
from lookup_core.kernel.errors import SettingsRefused
from lookup_core.kernel.secret_file import read_secret, write_secret

KEY_BYTES: Final = 32
_RING_FORMAT: Final = "nser-keyring-2"
_REPLICA_FORMAT: Final = "nser-replica-keys-1"
_RING_VARIABLE: Final = "NSER_KEYRING_FILE"
_REPLICA_VARIABLE: Final = "NSER_REPLICA_KEYS_FILE"
_RING_MADE_BY: Final = (
    "`nser keys create` makes one for a new register; an existing one needs its own, from its backup."
)
_REPLICA_MADE_BY: Final = "`nser keys replica-keys` makes it from the key ring."


def derive(root: bytes, purpose: str) -> bytes:
    """Derive a key of 32 bytes for one purpose (HKDF-SHA-256, RFC 5869)."""
    return HKDF(SHA256(), KEY_BYTES, salt=None, info=purpose.encode("ascii")).derive(root)


@dataclass(frozen=True, slots=True, repr=False)
class ReplicaKeys:
    """What a replica holds. No key in it decrypts personal data or mints a token."""

    blind: BlindKeys
    feed: bytes
    revision: bytes
    pepper: bytes

    def __post_init__(self) -> None:
        _check_lengths(self.feed, self.revision, self.pepper)

    def __repr__(self) -> str:
        return "[secret]"

    @property
    def snapshot(self) -> bytes:
        """The key of this replica's snapshot files: another one when any key that their content depends on changes."""
        root = self.blind.phone + self.blind.document + self.feed + self.pepper
        return derive(root, f"nser/replica/snapshot/{self.blind.version}")

    def save(self, path: Path) -> None:
        """Write it to a file of mode 0600, over an older one: it can always be made again from the ring."""
        written = {
            "format": _REPLICA_FORMAT,
            "blind": {
                "version": self.blind.version,
                "phone": _text(self.blind.phone),
                "document": _text(self.blind.document),
            },
            "feed": _text(self.feed),
            "revision": _text(self.revision),
            "pepper": _text(self.pepper),
        }
        write_secret(path, json.dumps(written, indent=1).encode(), replace=True)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read it. Raises SettingsRefused when it is missing, damaged or readable by others."""
        content = read_secret(path, _REPLICA_VARIABLE, _REPLICA_MADE_BY)
        try:
            read = _parsed(content, _REPLICA_FORMAT)
            blind = read["blind"]
            keys = BlindKeys(int(blind["version"]), _bytes(blind["phone"]), _bytes(blind["document"]))
            return cls(keys, _bytes(read["feed"]), _bytes(read["revision"]), _bytes(read["pepper"]))
        except (ValueError, KeyError, TypeError, AttributeError):
            raise _damaged(path, _REPLICA_VARIABLE, _REPLICA_MADE_BY) from None


@dataclass(frozen=True, slots=True, repr=False)
class Versions:
    """The keys of one purpose by version, from 1 on. `active` is the one that new things are made with."""

    keys: Mapping[int, bytes]
    active: int

    def __post_init__(self) -> None:
        _check_lengths(*self.keys.values())
        if self.active not in self.keys or min(self.keys) < 1:
            raise ValueError("the version in use must be in the ring")

    def __repr__(self) -> str:
        return "[secret]"

    @classmethod
    def create(cls) -> Self:
        return cls(MappingProxyType({1: _random()}), 1)

    @property
    def current(self) -> bytes:
        return self.keys[self.active]

    def of(self, version: int) -> bytes:
        """The key of one version. Raises KeyError when the ring does not have it."""
        return self.keys[version]

    def written(self) -> dict[str, Any]:
        return {
            "active": self.active,
            "keys": {str(version): _text(key) for version, key in self.keys.items()},
        }

    @classmethod
    def read(cls, written: Mapping[str, Any]) -> Self:
        keys = {int(version): _bytes(key) for version, key in written["keys"].items()}
        return cls(MappingProxyType(keys), int(written["active"]))


VERSIONED: Final = ("blind_roots", "bst_salt", "pairing", "audit_signing", "receipt_signing", "webhook")
ROOTS: Final = ("request", "feed", "revision", "pepper")


@dataclass(frozen=True, slots=True, repr=False)
class KeyRing:
    """All secrets: master keys by id (they wrap data keys), and the roots that the other keys come from."""

    keks: Mapping[str, bytes]
    active_kek: str
    blind_roots: Versions
    bst_salt: Versions
    pairing: Versions  # tokens that are another one for each operator (BST-03)
    audit_signing: Versions  # seeds of Ed25519 keys (RFC 8032), as are those of receipts
    receipt_signing: Versions
    webhook: Versions
    request: (
        bytes  # what a retry must find again: digests of requests, secrets of the API keys that they made
    )
    feed: bytes
    revision: bytes
    pepper: bytes

    def __post_init__(self) -> None:
        _check_lengths(*self.keks.values(), *(getattr(self, name) for name in ROOTS))
        if self.active_kek not in self.keks:
            raise ValueError("the active keys must be in the ring")

    def __repr__(self) -> str:
        return "[secret]"

    @classmethod
    def create(cls) -> Self:
        """Make a ring for a new register, from the system's random source."""
        kek_id = f"kek-{secrets.token_hex(4)}"
        parts: dict[str, Any] = {name: Versions.create() for name in VERSIONED}
        parts |= {name: _random() for name in ROOTS}
        return cls(
            keks=MappingProxyType({kek_id: _random()}),
            active_kek=kek_id,
            **parts,
        )

    @property
    def blind_version(self) -> int:
        return self.blind_roots.active

    @property
    def blind(self) -> BlindKeys:
        """The sub-keys of the version in use, one for each type of identifier."""
        return self.blind_keys(self.blind_version)

    def blind_keys(self, version: int) -> BlindKeys:
        """The sub-keys of one version. Raises KeyError when the ring does not have it."""
        root = self.blind_roots.of(version)
        return BlindKeys(
            version,
            derive(root, f"nser/blind/phone/{version}"),
            derive(root, f"nser/blind/document/{version}"),
        )

    def replica_keys(self) -> ReplicaKeys:
        """The part that replicas get."""
        return ReplicaKeys(self.blind, self.feed, self.revision, self.pepper)

    def save(self, path: Path, *, replace: bool = False) -> None:
        """Write it to a file of mode 0600.

        Raises FileExistsError rather than lose another ring, unless `replace`.
        """
        written = {
            "format": _RING_FORMAT,
            "active_kek": self.active_kek,
            "keks": {kek_id: _text(key) for kek_id, key in self.keks.items()},
            **{name: getattr(self, name).written() for name in VERSIONED},
            **{name: _text(getattr(self, name)) for name in ROOTS},
        }
        write_secret(path, json.dumps(written, indent=1).encode(), replace=replace)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read it. Raises SettingsRefused when it is missing, damaged or readable by others."""
        content = read_secret(path, _RING_VARIABLE, _RING_MADE_BY)
        try:
            read = _parsed(content, _RING_FORMAT)
            parts: dict[str, Any] = {name: Versions.read(read[name]) for name in VERSIONED}
            parts |= {name: _bytes(read[name]) for name in ROOTS}
            return cls(
                keks=MappingProxyType({kek_id: _bytes(key) for kek_id, key in read["keks"].items()}),
                active_kek=read["active_kek"],
                **parts,
            )
        except (ValueError, KeyError, TypeError, AttributeError):
            raise _damaged(path, _RING_VARIABLE, _RING_MADE_BY) from None


def _random() -> bytes:
    return secrets.token_bytes(KEY_BYTES)


def _check_lengths(*keys: bytes) -> None:
    if any(len(key) != KEY_BYTES for key in keys):
        raise ValueError(f"a key has {KEY_BYTES} bytes")


def _text(key: bytes) -> str:
    return b64encode(key).decode("ascii")


def _bytes(text: str) -> bytes:
    return b64decode(text, validate=True)


def _parsed(content: bytes, expected: str) -> dict[str, Any]:
    try:
        read: dict[str, Any] = json.loads(content)
    except RecursionError:
        raise ValueError("nested too deep") from None
    if read["format"] != expected:
        raise ValueError("another format")
    return read


def _damaged(path: Path, variable: str, made_by: str) -> SettingsRefused:
    return SettingsRefused(f"{variable}: {path} is damaged or not a file of this kind. {made_by}")
