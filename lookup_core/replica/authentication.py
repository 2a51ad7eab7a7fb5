"""Who is calling, by the API keys in the index.

A MAC that was verified once is remembered; the credential is read from the index every time, so that a revocation acts
with the change that brings it, on open streams too. Without a live lease nobody is authenticated (SAFETY.md 19).
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from hmac import compare_digest
from typing import Final

from lookup_core.domain.lease import Lease
from lookup_core.domain.outcome import Purpose
from lookup_core.domain.scope import permits_check
from lookup_core.kernel import apikey
from lookup_core.kernel.errors import (
    CredentialsInvalid,
    Draining,
    NotPermitted,
    RegisterStale,
    ReplicaLoading,
)
from lookup_core.replica.follower import Follower, Phase
from lookup_core.replica.index import Credential

REMEMBERED: Final = 10_000
"""Keys whose MAC is remembered; a country has fewer."""
_SCHEME: Final = "bearer "
_LONGEST_HEADER: Final = 256


@dataclass(frozen=True, slots=True)
class Presented:
    """A well-formed key that was presented, and its MAC. Says nothing about whether it is valid."""

    key_id: str
    mac: bytes


class Authentication:
    """Turns what a call presents into a credential, or refuses."""

    def __init__(
        self, follower: Follower, lease: Lease, boottime_ns: Callable[[], int], pepper: bytes
    ) -> None:
        self._follower = follower
        self._lease = lease
        self._boottime_ns = boottime_ns
        self._pepper = pepper
        self._remembered: OrderedDict[bytes, Presented] = OrderedDict()

    def read(self, authorization: str | None) -> Presented:
        """Read an `authorization` header. Raises CredentialsInvalid for one that is no API key."""
        self.check_ready()
        if authorization is None or len(authorization) > _LONGEST_HEADER:
            raise CredentialsInvalid
        if authorization[: len(_SCHEME)].lower() != _SCHEME:
            raise CredentialsInvalid
        text = authorization[len(_SCHEME) :].strip()
        digest = hashlib.sha256(text.encode()).digest()
        if (known := self._remembered.get(digest)) is not None:
            return known
        presented = Presented(apikey.parse(text), apikey.mac(self._pepper, text))
        # Only keys that are valid now are remembered, so that nobody fills this by guessing.
        if self._credential(presented) is not None:
            self._remembered[digest] = presented
            if len(self._remembered) > REMEMBERED:
                self._remembered.popitem(last=False)
        return presented

    def admit(self, presented: Presented) -> Credential:
        """The credential as the index has it now.

        Raises CredentialsInvalid, RegisterStale, ReplicaLoading, Draining.
        """
        self.check_ready()
        self.check_lease()
        credential = self._credential(presented)
        if credential is None or not credential.active:
            raise CredentialsInvalid
        return credential

    def check_ready(self) -> None:
        """Raise unless this replica has an index and is not leaving."""
        if self._follower.phase is Phase.DRAINING:
            raise Draining
        if not self._follower.has_index:
            raise ReplicaLoading

    def check_lease(self) -> None:
        """Raise RegisterStale without a live lease: a revocation may have passed us by (SAFETY.md 19)."""
        if not self._lease.is_live(self._boottime_ns()):
            raise RegisterStale

    def _credential(self, presented: Presented) -> Credential | None:
        """The credential that the key's MAC fits. An unknown id takes as long as a wrong key."""
        credential = self._follower.index.credential(presented.key_id)
        stored = bytes(apikey.MAC_BYTES) if credential is None else credential.mac
        return credential if compare_digest(stored, presented.mac) else None


def check_permitted(credential: Credential, purpose: Purpose) -> None:
    """Raise NotPermitted unless the key may check for `purpose`."""
    if not permits_check(credential.scopes, purpose):
        raise NotPermitted(
            f"This key may not check for the purpose {purpose}. Use a key with the scope check:{purpose}.",
            field="purpose",
        )
