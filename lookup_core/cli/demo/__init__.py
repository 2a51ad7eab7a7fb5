"""Invented people of Kenya, for demonstrations, tests and benchmarks. None of them exists."""
