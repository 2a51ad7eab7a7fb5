"""The repository's text as the style tests see it: pages, headings, links, paths, tables. Builds nothing."""

import re
import subprocess
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).resolve().parents[2]
DOCS: Final = ROOT / "docs"
REFERENCE: Final = DOCS / "reference"

_FENCE: Final = re.compile(r"^ *(```+).*?^ *\1 *$", re.DOTALL | re.MULTILINE)
_LINK: Final = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)(?:\s[^)]*)?\)")
_HEADING: Final = re.compile(r"^#{1,6} (?P<words>.*?)(?: *\{#(?P<id>[\w-]+)\})? *$", re.MULTILINE)
_CODE: Final = re.compile(r"`([^`\n]+)`")


class Link(NamedTuple):
    page: Path
    target: str


@cache
def files_of_the_repository() -> Sequence[Path]:
    """Every file that is, or could be, committed."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout.decode()
    return [path for name in listed.split("\0") if name and (path := ROOT / name).is_file()]


def pages() -> Sequence[Path]:
    """Every Markdown page of the documentation."""
    return sorted(DOCS.rglob("*.md"))


def prose(page: Path) -> str:
    """A page without its code blocks."""
    return _FENCE.sub("", page.read_text(encoding="utf-8"))


def links(page: Path) -> Iterator[Link]:
    """The links of a page that stay in this repository."""
    for target in _LINK.findall(prose(page)):
        if "://" not in target and not target.startswith("mailto:"):
            yield Link(page, target)


def anchors(page: Path) -> frozenset[str]:
    """What can be linked to in a page: its headings as MkDocs names them."""
    return frozenset(found["id"] or slug(found["words"]) for found in _HEADING.finditer(prose(page)))


def slug(heading: str) -> str:
    """A heading's anchor (Python-Markdown's toc)."""
    kept = re.sub(r"[^\w\s-]", "", heading.replace("`", "")).strip().lower()
    return re.sub(r"[-\s]+", "-", kept)


def code_words(page: Path) -> Iterator[str]:
    """What stands in backticks in a page's prose."""
    yield from _CODE.findall(prose(page))


def rows(page: Path, heading: str | None = None) -> Iterator[Sequence[str]]:
    """The cells of every table row under a heading (or of the whole page), without heads and rules."""
    text = prose(page)
    if heading is not None:
        text = section(text, heading)
    for line in text.splitlines():
        if line.startswith("|") and not re.fullmatch(r"[|\s:-]+", line):
            yield [cell.strip() for cell in line.strip()[1:-1].split("|")]


def section(text: str, heading: str) -> str:
    """The text under a heading, up to the next one of the same or a higher level."""
    found = re.search(rf"^(#+) {re.escape(heading)}[^\n]*\n", text, re.MULTILINE)
    assert found is not None, f"there is no heading {heading!r}"
    rest = text[found.end() :]
    following = re.search(rf"^#{{1,{len(found[1])}}} ", rest, re.MULTILINE)
    return rest[: following.start()] if following else rest
