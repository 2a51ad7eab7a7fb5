"""The keys that the write side works with: those that never change, derived once, and the ring that may be rotated.

Refuses to show them: no representation of this object holds a key.
"""

from __future__ import annotations

from base64 import b32encode
from dataclasses import dataclass
from typing import Final, Self
from zlib import crc32

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from lookup_core.domain.blind import document_forms, phone_forms
from lookup_core.domain.identity import Identity
from lookup_core.domain.ids import BlindIndex, KeyId, RequestId
from lookup_core.kernel import apikey
from lookup_core.kernel.keyring import KeyRing, derive
from lookup_core.kernel.pairing import Pairing
from lookup_core.kernel.ring_in_use import RingInUse
from lookup_core.registrar.blind_in_use import BlindInUse
from lookup_core.registrar.people.identifiers import Identifier, Identifiers, Kind

_SECRET_LENGTH: Final = 52  # characters of base32 for 256 bits


@dataclass(frozen=True, slots=True, repr=False)
class Secrets:
    """What the use cases need of the ring. `keys.ring` may be another one after a rotation; the rest stays."""

    keys: RingInUse
    blind: BlindInUse
    request_digest: bytes
    page_token: bytes
    api_key_root: bytes
    pairing: Pairing
    environment: str

    def __repr__(self) -> str:
        return "[secret]"

    @property
    def ring(self) -> KeyRing:
        """The ring at this moment. Read it when a key is needed, and keep no key of it."""
        return self.keys.ring

    @classmethod
    def of(cls, keys: KeyRing | RingInUse, environment: str, blind: BlindInUse | None = None) -> Self:
        """Derive from a ring. API keys are made for `environment` (live, test, demo)."""
        in_use = keys if isinstance(keys, RingInUse) else RingInUse(keys)
        ring = in_use.ring
        return cls(
            keys=in_use,
            blind=blind or BlindInUse(in_use),
            request_digest=derive(ring.request, "nser/request-digest/1"),
            page_token=derive(ring.request, "nser/page-token/1"),
            api_key_root=derive(ring.request, "nser/api-key-root/1"),
            pairing=Pairing(ring.pairing_keys.newest_first),
            environment=environment,
        )

    def blinded(self, identity: Identity) -> Identifiers:
        """Give the blind indexes by which the register knows an identity, under every version that we have."""
        phone, document, keys = identity.phone, identity.document, self.blind.keys
        return Identifiers(
            phone=None if phone is None else _identifier(Kind.PHONE, phone_forms(keys, phone)),
            document=None if document is None else _identifier(Kind.DOCUMENT, document_forms(keys, document)),
        )

    def api_key(self, request_id: RequestId, key_id: KeyId) -> str:
        """Give the whole text of the key that `request_id` made: the same at every retry, and stored nowhere."""
        info = b"nser/api-key/1\0" + request_id.bytes + key_id.encode("ascii")
        raw = HKDF(SHA256(), apikey.SECRET_BYTES, salt=None, info=info).derive(self.api_key_root)
        secret = b32encode(raw).decode("ascii").rstrip("=").lower()
        assert len(secret) == _SECRET_LENGTH
        body = f"nser_{self.environment}_{key_id}_{secret}"
        text = f"{body}_{crc32(body.encode('ascii')):08x}"
        apikey.parse(text)  # the form is the kernel's: a change there must fail here, not at the caller's
        return text


def _identifier(kind: Kind, forms: tuple[BlindIndex, ...]) -> Identifier:
    first, *later = forms
    return Identifier(kind, first, tuple(later))
