"""How long a replica may say "not excluded" after it asked for it, and what a registrar waits.

The lease itself is kept and spent where checks are answered: `lookup_core/dataplane/src/lease.rs`. Times are
nanoseconds of the machine's own CLOCK_BOOTTIME; no wall clock is read, and a lease of one machine means nothing on
another.
"""

from typing import Final

MILLISECOND: Final = 1_000_000
# Constants of the protocol, not settings: replicas and registrars that differ in them would break the promise.
LEASE_NS: Final = 2_000 * MILLISECOND
GUARD_NS: Final = 250 * MILLISECOND
"""What a registrar waits beyond a lease: covers two clocks that run at rates up to 10 % apart over one lease."""
POLL_NS: Final = 250 * MILLISECOND
