"""The right to say "not excluded", and when it ends.

A check takes a `Standing` before its first look-up and spends it after its last: a lease that is renewed in between
cannot clear a miss in an older index (SAFETY.md 1). Times are nanoseconds of the machine's own CLOCK_BOOTTIME; no wall
clock is read here, and a lease of one machine means nothing on another.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from lookup_core.domain.ids import Revision

MILLISECOND: Final = 1_000_000
# Constants of the protocol, not settings: replicas and registrars that differ in them would break the promise.
LEASE_NS: Final = 2_000 * MILLISECOND
GUARD_NS: Final = 250 * MILLISECOND
"""What a registrar waits beyond a lease: covers two clocks that run at rates up to 10 % apart over one lease."""
POLL_NS: Final = 250 * MILLISECOND


@dataclass(frozen=True, slots=True)
class Standing:
    """What a replica may vouch for at one moment: an index of `revision`, until `until_ns`."""

    revision: Revision
    until_ns: int

    def clears(self, now_ns: int) -> bool:
        """Whether a miss may be answered NOT_EXCLUDED. `now_ns` is read after the last look-up."""
        return now_ns < self.until_ns


NO_STANDING: Final = Standing(Revision(-1), 0)


class Lease:
    """One replica's lease. Armed by the poll, read by every check; both sides see one immutable `Standing`."""

    def __init__(self) -> None:
        self._standing = NO_STANDING

    def standing(self) -> Standing:
        """The standing now: one load."""
        return self._standing

    def arm(self, revision: Revision, *, sent_ns: int) -> None:
        """Vouch for `revision` until one lease after `sent_ns`, the moment before the grant was sent.

        A grant that was sent earlier never shortens a later one.
        """
        self._standing = Standing(revision, max(sent_ns + LEASE_NS, self._standing.until_ns))

    def disarm(self) -> None:
        """Stop clearing anybody, at once."""
        self._standing = NO_STANDING

    def is_live(self, now_ns: int) -> bool:
        return self._standing.clears(now_ns)
