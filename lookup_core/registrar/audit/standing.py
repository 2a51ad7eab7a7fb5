"""Whether this store may be worked with at all (SAFETY.md 14).

A store that lacks what a witness has seen was set back: what it would acknowledge contradicts what was acknowledged. It
is closed for every call, and only a person with a new process opens it again.
"""

from __future__ import annotations

import asyncio

import structlog

from lookup_core.kernel.errors import StoreBehindWitness

log = structlog.get_logger()


class Standing:
    """One for each process; open until something is found."""

    def __init__(self) -> None:
        self.finding = ""
        self.closed = asyncio.Event()

    def close(self, finding: str) -> None:
        """Refuse every call from here on. The first finding stays."""
        log.critical("audit.store_closed", finding=finding)
        self.finding = self.finding or finding
        self.closed.set()

    def check(self) -> None:
        """Raise StoreBehindWitness once it is closed."""
        if self.finding:
            raise StoreBehindWitness
