"""The key ring: every secret of the register, and the part of it that replicas get.

Replicas hold what they need to answer (blind and pairing sub-keys, feed, revision and API-key secrets) and nothing
that decrypts personal data or mints a global token; ADR 0015 says what the pairing sub-keys give away. Losing the
ring loses the register: it is backed up apart from the database. How the ring lies on a disk, and what seals it
there, is `ring_file.py`'s; this module refuses to write one.
"""

import json
import secrets
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Self, TypeVar

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from lookup_core.domain.blind import BlindKeys
from lookup_core.kernel.errors import SettingsRefused
from lookup_core.kernel.key_strength import KEY_BYTES, weaknesses
from lookup_core.kernel.secret_file import read_secret, write_secret

_RING_FORMAT: Final = "nser-keyring-2"
_REPLICA_FORMAT: Final = "nser-replica-keys-2"
_REPLICA_VARIABLE: Final = "NSER_REPLICA_KEYS_FILE"
_REPLICA_MADE_BY: Final = "`nser keys replica-keys` makes it from the key ring."

Part = TypeVar("Part")


def derive(root: bytes, purpose: str) -> bytes:
    """Derive a key of 32 bytes for one purpose (HKDF-SHA-256, RFC 5869)."""
    return HKDF(SHA256(), KEY_BYTES, salt=None, info=purpose.encode("ascii")).derive(root)


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

    @property
    def newest_first(self) -> tuple[bytes, ...]:
        """Every key: the one in use, then the others from the highest version down."""
        others = sorted((version for version in self.keys if version != self.active), reverse=True)
        return tuple(self.keys[version] for version in (self.active, *others))

    def with_new(self) -> Self:
        """The same keys and a new one beside them, in use from now on. What the older ones made stays readable."""
        version = max(self.keys) + 1
        return replace(self, keys=MappingProxyType({**self.keys, version: _random()}), active=version)

    def written(self) -> dict[str, Any]:
        return {
            "active": self.active,
            "keys": {str(version): _text(key) for version, key in self.keys.items()},
        }

    @classmethod
    def read(cls, written: Mapping[str, Any]) -> Self:
        keys = {int(version): _bytes(key) for version, key in written["keys"].items()}
        return cls(MappingProxyType(keys), int(written["active"]))


@dataclass(frozen=True, slots=True, repr=False)
class ReplicaKeys:
    """What a replica holds. No key in it decrypts personal data or mints a global token."""

    blind: BlindKeys
    feed: bytes
    revision: bytes
    pepper: bytes
    pairing: Versions

    def __post_init__(self) -> None:
        _check_lengths(self.feed, self.revision, self.pepper)

    def __repr__(self) -> str:
        return "[secret]"

    @property
    def snapshot(self) -> bytes:
        """The key of this replica's snapshot files: another one for another register.

        A rotation of the blind index leaves it: a file says itself in which versions' forms it holds identifiers.
        """
        first = self.blind.of(1)
        return derive(first.phone + first.document + self.feed + self.pepper, "nser/replica/snapshot/2")

    def save(self, path: Path) -> None:
        """Write it to a file of mode 0600, over an older one: it can always be made again from the ring."""
        written = {
            "format": _REPLICA_FORMAT,
            "blind": {
                str(keys.version): {"phone": _text(keys.phone), "document": _text(keys.document)}
                for keys in reversed([*self.blind.newest_first()])
            },
            "feed": _text(self.feed),
            "revision": _text(self.revision),
            "pepper": _text(self.pepper),
            "pairing": self.pairing.written(),
        }
        write_secret(path, json.dumps(written, indent=1).encode(), replace=True)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read it. Raises SettingsRefused when it is missing, damaged or readable by others."""
        content = read_secret(path, _REPLICA_VARIABLE, _REPLICA_MADE_BY)
        try:
            read = _parsed(content, _REPLICA_FORMAT)
            pairs = {
                int(version): (_bytes(pair["phone"]), _bytes(pair["document"]))
                for version, pair in read["blind"].items()
            }
            feed, revision, pepper = (_bytes(read[name]) for name in ("feed", "revision", "pepper"))
            loaded = cls(_chained(pairs), feed, revision, pepper, Versions.read(read["pairing"]))
        except (ValueError, KeyError, TypeError, AttributeError):
            raise SettingsRefused(
                f"{_REPLICA_VARIABLE}: {path} is damaged or not a file of this kind. {_REPLICA_MADE_BY}"
            ) from None
        if weak := weaknesses(loaded.named()):
            raise SettingsRefused(
                *(f"{_REPLICA_VARIABLE}: {path}: {each} {_REPLICA_MADE_BY}" for each in weak)
            )
        return loaded

    def named(self) -> Iterator[tuple[str, bytes]]:
        """Every key with its name, for those who check them."""
        for keys in self.blind.newest_first():
            yield f"blind phone {keys.version}", keys.phone
            yield f"blind document {keys.version}", keys.document
        yield "feed", self.feed
        yield "revision", self.revision
        yield "pepper", self.pepper
        for version, key in self.pairing.keys.items():
            yield f"pairing {version}", key


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
        if sorted(self.blind_roots.keys) != [*range(1, self.blind_version + 1)]:
            raise ValueError("the newest blind key wraps every earlier one")

    def __repr__(self) -> str:
        return "[secret]"

    @classmethod
    def create(cls) -> Self:
        """Make a ring for a new register, from the system's random source."""
        kek_id = _kek_id()
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
        """The sub-keys of the newest version, with all that it wraps.

        Which versions are live is the store's to say: a ring has a version before the register moves to it.
        """
        pairs = {
            version: (
                derive(root, f"nser/blind/phone/{version}"),
                derive(root, f"nser/blind/document/{version}"),
            )
            for version, root in self.blind_roots.keys.items()
        }
        return _chained(pairs)

    @property
    def pairing_keys(self) -> Versions:
        """What each operator's keys are derived from, on both sides: by version, and not the roots themselves."""
        keys = {
            version: derive(root, f"nser/pairing/{version}") for version, root in self.pairing.keys.items()
        }
        return Versions(MappingProxyType(keys), self.pairing.active)

    def replica_keys(self) -> ReplicaKeys:
        """The part that replicas get."""
        return ReplicaKeys(self.blind, self.feed, self.revision, self.pepper, self.pairing_keys)

    def with_new(self, purpose: str) -> Self:
        """The ring with a new version of one of VERSIONED in use."""
        parts: dict[str, Any] = {purpose: getattr(self, purpose).with_new()}
        return replace(self, **parts)

    def with_new_kek(self) -> Self:
        """The ring with a new master key in use; the older ones stay until nothing is wrapped by them."""
        kek_id = _kek_id()
        return replace(self, keks=MappingProxyType({**self.keks, kek_id: _random()}), active_kek=kek_id)

    def without_kek(self, kek_id: str) -> Self:
        """The ring without an older master key. Raises ValueError for the one in use, KeyError for one it lacks."""
        if kek_id == self.active_kek:
            raise ValueError("the master key in use stays in the ring")
        left = {**self.keks}
        del left[kek_id]
        return replace(self, keks=MappingProxyType(left))

    def named(self) -> Iterator[tuple[str, bytes]]:
        """Every key with its name, for those who check or compare them."""
        yield from self.keks.items()
        for purpose in VERSIONED:
            for version, key in getattr(self, purpose).keys.items():
                yield f"{purpose} version {version}", key
        for name in ROOTS:
            yield name, getattr(self, name)

    def to_bytes(self) -> bytes:
        """The whole ring in clear, for whoever seals it."""
        written = {
            "format": _RING_FORMAT,
            "active_kek": self.active_kek,
            "keks": {kek_id: _text(key) for kek_id, key in self.keks.items()},
            **{name: getattr(self, name).written() for name in VERSIONED},
            **{name: _text(getattr(self, name)) for name in ROOTS},
        }
        return json.dumps(written, indent=1).encode()

    @classmethod
    def from_bytes(cls, content: bytes) -> Self:
        """Read what `to_bytes` wrote. Raises ValueError, which names the part that is wrong."""
        read = _parsed(content, _RING_FORMAT)
        parts: dict[str, Any] = {}
        try:
            for name in VERSIONED:
                parts[name] = _part(name, partial(_versions, read, name))
            for name in ROOTS:
                parts[name] = _part(name, partial(_root, read, name))
            keks = _part("keks", lambda: {kek_id: _key(key) for kek_id, key in read["keks"].items()})
            return cls(keks=MappingProxyType(keks), active_kek=read["active_kek"], **parts)
        except (KeyError, TypeError, AttributeError) as wrong:
            raise ValueError(f"a part is missing ({wrong})") from None


def _kek_id() -> str:
    return f"kek-{secrets.token_hex(4)}"


def _random() -> bytes:
    return secrets.token_bytes(KEY_BYTES)


def _part(name: str, read: Callable[[], Part]) -> Part:
    """One part of the ring, with its name on whatever is wrong with it; never its value."""
    try:
        return read()
    except KeyError:
        raise ValueError(f"{name} is missing") from None
    except (ValueError, TypeError, AttributeError) as wrong:
        raise ValueError(f"{name}: {wrong}") from None


def _versions(read: Mapping[str, Any], name: str) -> Versions:
    return Versions.read(read[name])


def _root(read: Mapping[str, Any], name: str) -> bytes:
    return _key(read[name])


def _key(text: str) -> bytes:
    key = _bytes(text)
    _check_lengths(key)
    return key


def _chained(pairs: Mapping[int, tuple[bytes, bytes]]) -> BlindKeys:
    """The newest of some versions. Raises ValueError where one is missing, or there is none."""
    chained: BlindKeys | None = None
    for version in sorted(pairs):
        chained = BlindKeys(version, *pairs[version], before=chained)
    if chained is None:
        raise ValueError("there is no blind key")
    return chained


def _check_lengths(*keys: bytes) -> None:
    for key in keys:
        if len(key) != KEY_BYTES:
            raise ValueError(f"a key of {len(key)} bytes, and it must have {KEY_BYTES}")


def _text(key: bytes) -> str:
    return b64encode(key).decode("ascii")


def _bytes(text: str) -> bytes:
    return b64decode(text, validate=True)


def _parsed(content: bytes, expected: str) -> dict[str, Any]:
    try:
        read: dict[str, Any] = json.loads(content)
    except RecursionError:
        raise ValueError("nested too deep") from None
    if not isinstance(read, dict) or read.get("format") != expected:
        raise ValueError("another format")
    return read
