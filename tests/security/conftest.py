"""Tests here share one running register in each module, or have a desk on a database of their own."""

from tests.support.desks import desk, owner
from tests.support.shared_cluster import cluster

__all__ = ["cluster", "desk", "owner"]
