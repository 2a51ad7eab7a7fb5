"""What happened, and whether the promise held: the validator that every safety test ends on.

Times are of one clock that the whole test shares. The promise is for a check that *starts* after the acknowledgement,
and holds until a release is asked for.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field

Who = Hashable


@dataclass(frozen=True, slots=True)
class Acknowledged:
    who: Who
    request_id: object
    revision: int
    at: float


@dataclass(frozen=True, slots=True)
class Checked:
    who: Who
    began: float
    ended: float
    cleared: bool
    where: str


@dataclass(slots=True)
class History:
    """A recording of acknowledgements, releases and checks."""

    acknowledged: list[Acknowledged] = field(default_factory=list)
    release_began: dict[Who, float] = field(default_factory=dict)
    checks: list[Checked] = field(default_factory=list)

    def acknowledge(self, who: Who, request_id: object, revision: int, at: float) -> None:
        self.acknowledged.append(Acknowledged(who, request_id, revision, at))

    def release(self, who: Who, at: float) -> None:
        """A release of `who` was sent at `at`: from here on a clear answer is allowed."""
        self.release_began.setdefault(who, at)

    def check(self, who: Who, began: float, ended: float, *, cleared: bool, where: str) -> None:
        self.checks.append(Checked(who, began, ended, cleared, where))

    def stale_answers(self) -> list[Checked]:
        """NOT_EXCLUDED to a check that began after an acknowledged, unreleased exclusion. Must be empty."""
        first: dict[Who, float] = {}
        for one in self.acknowledged:
            first[one.who] = min(one.at, first.get(one.who, one.at))
        return [
            check
            for check in self.checks
            if check.cleared
            and check.who in first
            and check.began > first[check.who]
            and check.ended < self.release_began.get(check.who, float("inf"))
        ]

    def lost(self, stored: Iterable[tuple[object, int]]) -> list[Acknowledged]:
        """Acknowledged requests that the store does not hold under their revision. Must be empty."""
        held = set(stored)
        return [one for one in self.acknowledged if (one.request_id, one.revision) not in held]

    def answered_twice(self) -> list[object]:
        """Requests whose retries were given another revision than the first answer. Must be empty."""
        revisions: dict[object, set[int]] = defaultdict(set)
        for one in self.acknowledged:
            revisions[one.request_id].add(one.revision)
        return [request_id for request_id, given in revisions.items() if len(given) > 1]

    def counts(self) -> dict[str, int]:
        """How much was seen, so that a test can tell that it tested something."""
        return {
            "acknowledged": len(self.acknowledged),
            "checks": len(self.checks),
            "cleared": sum(check.cleared for check in self.checks),
        }
