"""Tests here share one running register in each module."""

from tests.support.shared_cluster import cluster

__all__ = ["cluster"]
