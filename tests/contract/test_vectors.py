"""The vectors that the native crate is held to are what Python says today."""

import json

from scripts import vectors

CASES = json.loads(vectors.VECTORS.read_text())


def test_the_vectors_are_fresh() -> None:
    assert vectors.is_fresh(), "Run: python scripts/vectors.py"


def test_every_section_reads_some_and_refuses_some() -> None:
    for section in ("phones", "documents", "kinds", "tokens", "revisions", "api_keys"):
        refused = sum("refused" in case for case in CASES[section])
        assert 0 < refused < len(CASES[section]), section
