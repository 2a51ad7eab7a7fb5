"""What the docs tell of speed is what benchmarks/results/latest.json holds: no figure is typed by hand."""

from benchmarks import publish, tables
from benchmarks.results import LATEST, latest

AGAIN = "run: python -m benchmarks --publish"


def test_the_page_tells_the_latest_results() -> None:
    page = publish.PAGE.read_text()
    assert page == publish.filled(page, latest()), AGAIN
    for part in publish.PARTS:
        assert f"<!-- benchmarks: {part} -->" in page


def test_the_drawings_are_of_the_latest_results() -> None:
    for name, drawing in publish.drawings(latest()).items():
        assert (publish.PAGE.parent / name).read_text() == drawing, AGAIN
        assert f"]({name})" in publish.PAGE.read_text()


def test_the_table_for_people_is_the_one_for_machines() -> None:
    assert (LATEST / "latest.md").read_text() == tables.page(latest())
