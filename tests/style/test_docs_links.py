"""Every link and every path in the documentation leads somewhere."""

import ast
import re
from pathlib import Path

import pytest
import yaml

from tests.style.documents import DOCS, REFERENCE, ROOT, anchors, code_words, links, pages

ROOMS = re.compile(r"^(lookup_core|protos|clients|tests|docs|scripts|benchmarks)/[\w./*-]*(::[\w.]+)?$")
TABLE = re.compile(r"^register\.(\w+)(\(\))?$")
MADE_BY_A_RUN = frozenset({"benchmarks/results/"})


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(DOCS)))
def test_every_link_leads_to_a_page_and_a_heading(page: Path) -> None:
    for link in links(page):
        name, _, anchor = link.target.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.is_file(), f"{link.target} leads nowhere"
        assert target.is_relative_to(DOCS), f"{link.target} leaves the site: name the path instead"
        if anchor:
            assert anchor in anchors(target), f"{link.target}: there is no such heading"


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(DOCS)))
def test_every_path_of_the_repository_exists(page: Path) -> None:
    for word in code_words(page):
        if not ROOMS.match(word) or word in MADE_BY_A_RUN:
            continue
        name, _, symbol = word.partition("::")
        if "*" in name:
            assert any(ROOT.glob(name)), f"nothing fits {name}"
            continue
        assert (ROOT / name).exists(), f"there is no {name}"
        if symbol:
            assert defines(ROOT / name, symbol), f"{name} does not define {symbol}"


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(DOCS)))
def test_every_table_of_the_register_exists(page: Path) -> None:
    schema = "\n".join(path.read_text() for path in (ROOT / "lookup_core/migrations/versions").glob("*.sql"))
    for word in code_words(page):
        if found := TABLE.match(word):
            assert f"register.{found[1]}" in schema, f"the schema has no {word}"


def test_the_navigation_has_every_page_once() -> None:
    named = list(_leaves(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]))
    assert len(named) == len(set(named))
    assert {DOCS / name for name in named} == set(pages())


def test_the_seed_map_names_every_endpoint_that_the_bridge_serves() -> None:
    bridge = (ROOT / "clients/bridge/nser_bridge/app.py").read_text()
    served = {re.sub(r"\{\w+\}", "{}", path) for path in re.findall(r'yield "(/[^"]+)"', bridge)}
    told = " ".join(code_words(REFERENCE / "rest.md")) + " ".join(code_words(REFERENCE / "seed-map.md"))
    assert served
    assert not {path for path in served if path not in re.sub(r"\{\w+\}", "{}", told)}


def defines(path: Path, symbol: str) -> bool:
    """Whether a Python file defines `name` or `Class.name`; of other files, whether the text is there."""
    if path.suffix != ".py":
        return symbol in path.read_text()
    body: list[ast.stmt] = ast.parse(path.read_text()).body
    for part in symbol.split("."):
        found = next((node for node in body if part in _names(node)), None)
        if found is None:
            return False
        body = getattr(found, "body", [])
    return True


def _names(node: ast.stmt) -> set[str]:
    if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        return {node.name}
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return {node.target.id}
    if isinstance(node, ast.Assign):
        return {target.id for target in node.targets if isinstance(target, ast.Name)}
    return set()


def _leaves(nav: object) -> list[str]:
    if isinstance(nav, str):
        return [nav]
    parts = nav.values() if isinstance(nav, dict) else nav
    assert not isinstance(parts, str)
    return [leaf for part in parts for leaf in _leaves(part)]  # type: ignore[attr-defined]
