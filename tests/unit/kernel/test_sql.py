import pytest

from lookup_core.kernel.sql import load_queries, parse_queries

TEXT = """-- The texts of a test.

-- name: first
-- Why it is so.
SELECT 1;

-- name: second_one
SELECT 2
  FROM x
"""


def test_statements_are_found_by_name_with_their_reason():
    queries = parse_queries(TEXT, "t.sql")
    assert queries == {"first": "-- Why it is so.\nSELECT 1", "second_one": "SELECT 2\n  FROM x"}
    with pytest.raises(TypeError):
        queries["third"] = "SELECT 3"


def test_a_file_of_a_package_is_read(tmp_path, monkeypatch):
    package = tmp_path / "a_package_of_queries"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "queries.sql").write_text(TEXT)
    monkeypatch.syspath_prepend(tmp_path)
    assert set(load_queries("a_package_of_queries", "queries.sql")) == {"first", "second_one"}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("SELECT 1; -- name: x\n", "before the first"),
        ("-- name: a\nSELECT 1;\n-- name: a\nSELECT 2;", "a stands twice"),
        ("-- name: a\n-- only words\n-- name: b\nSELECT 1", "a has no statement"),
        ("-- name: A-1\nSELECT 1", "not a name"),
    ],
)
def test_a_file_of_another_form_is_refused(text, why):
    with pytest.raises(ValueError, match=why):
        parse_queries(text, "t.sql")


def test_an_empty_file_has_no_statements():
    assert parse_queries("-- nothing yet\n", "t.sql") == {}
