"""What the tests of the promise share: naming a rule that is taken out, and how long an acknowledgement may take."""

from __future__ import annotations

import pytest

from lookup_core.domain.lease import GUARD_NS, LEASE_NS
from tests.support.cluster import Cluster
from tests.support.people import someone

LEASE_S, GUARD_S = LEASE_NS / 1e9, GUARD_NS / 1e9
LONGEST_S = LEASE_S + GUARD_S + 1.5
"""What an acknowledgement may take whatever a replica does; the margin is for a busy machine."""


def with_and_without(rule: str) -> pytest.MarkDecorator:
    """Runs a test twice: as the servers are, and with `rule` (a class of tests/support/broken*.py) broken."""
    off = pytest.param(rule, marks=pytest.mark.breaks, id=f"without-{rule}")
    return pytest.mark.parametrize("broken", [pytest.param("", id="kept"), off])


async def is_settled(cluster: Cluster) -> None:
    """The registrar's quiet time is over, and every replica clears."""
    await cluster.register(someone())
    await cluster.all_clear(someone())
