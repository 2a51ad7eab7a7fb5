"""The extension that is shipped keeps every rule: what the tests' own plane can take out is not in it."""

from pathlib import Path

from lookup_core import _dataplane
from tests.support import broken_plane


def test_the_plane_that_is_shipped_has_nothing_that_takes_a_rule_out():
    shipped = Path(_dataplane.__file__).read_bytes()
    assert broken_plane.VARIABLE.encode() not in shipped
    assert [rule for rule in broken_plane.RULES if rule.encode() in shipped] == []


def test_the_tests_own_plane_has_what_is_asked_of_it():
    source = (broken_plane.CRATE / "src/broken/in_force.rs").read_text()
    assert broken_plane.VARIABLE in source
    assert [rule for rule in broken_plane.RULES if f'"{rule}" => {rule}::' not in source] == []
