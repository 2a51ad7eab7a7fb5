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


@pytest.fixture
def package(tmp_path, monkeypatch):
    folder = tmp_path / "a_package_of_queries"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "queries.sql").write_text(TEXT)
    (folder / "more.sql").write_text("-- name: third\nSELECT 3")
    (folder / "again.sql").write_text("-- name: first\nSELECT 4")
    monkeypatch.syspath_prepend(tmp_path)
    return folder.name


def test_files_of_a_package_are_read(package):
    assert set(load_queries(package, "queries.sql")) == {"first", "second_one"}
    assert set(load_queries(package, "queries.sql", "more.sql")) == {"first", "second_one", "third"}


def test_no_file_takes_the_place_of_anothers_statement(package):
    with pytest.raises(ValueError, match=r"again\.sql: first stands in another file"):
        load_queries(package, "queries.sql", "again.sql")


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
