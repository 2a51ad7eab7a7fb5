"""What a provider of the ring's outermost key promises. One suite, tests/contract/test_key_providers.py, runs on each.

A provider wraps one key of 32 bytes, which seals the ring; so an HSM or a service never sees the ring, and its size is
no concern of theirs. Every failure is a SettingsRefused that names the setting and what to do: a process that cannot
open its ring serves nobody.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Wrapped:
    """A wrapped key and what its provider needs to unwrap it; nothing in it is secret."""

    parameters: Mapping[str, str]
    wrapped: bytes


class KeyProvider(Protocol):
    """Wraps and unwraps a key, bound to a place: what was wrapped for another place does not unwrap."""

    @property
    def name(self) -> str:
        """What NSER_KEYRING_PROVIDER calls it; written into the ring's file."""
        ...

    def prepare(self) -> str:
        """Make the provider's own key where there is none yet. Says what was made, nothing when all was there."""
        ...

    def wrap(self, key: bytes, place: bytes) -> Wrapped:
        """Raises SettingsRefused."""
        ...

    def unwrap(self, wrapped: Wrapped, place: bytes) -> bytes:
        """Raises SettingsRefused, for what another key wrapped or somebody altered as well."""
        ...
