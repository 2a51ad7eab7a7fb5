"""The house style that no linter holds: sizes, words, docstrings, and nothing of the machine that wrote the code."""

import ast
import re
from pathlib import Path
from typing import Final

import pytest

from tests.style.documents import ROOT, files_of_the_repository

LONGEST: Final = 450
LONGEST_TEST: Final = 700
LONGEST_FUNCTION: Final = 50
MOST_POSITIONAL: Final = 5

CODE: Final = (".py", ".sql", ".lua", ".proto", ".sh")
GENERATED: Final = re.compile(r"_pb2(_grpc)?\.pyi?$")
# Set from pieces, so that this file does not find itself.
LEFT_OVER: Final = re.compile(rf"\b({'TO' + 'DO'}|{'FIX' + 'ME'}|{'X' * 3}|{'HA' + 'CK'})\b")
MACHINE: Final = re.compile(rf"(?<![\w.])/(?:{'ro' + 'ot'}|home/\w+|{'wo' + 'rk'})/\w")
REGISTRY: Final = re.compile(
    r"https?://[\w.-]*(?:pypi|pythonhosted|artifactory|nexus|devpi|proxy)[\w.-]*", re.IGNORECASE
)
VAGUE: Final = frozenset(
    {"utils", "util", "helpers", "helper", "common", "misc", "manager", "base2", "stuff"}
)
TEXT: Final = frozenset(
    {"", ".py", ".pyi", ".md", ".sql", ".lua", ".proto", ".toml", ".cfg", ".yml", ".yaml", ".sh", ".lock"}
)


def named(paths: list[Path]) -> list[object]:
    return [pytest.param(path, id=str(path.relative_to(ROOT))) for path in paths]


def ours(path: Path) -> bool:
    """Whether a person of ours wrote it."""
    return not GENERATED.search(path.name) and "third_party" not in path.parts


SOURCES: Final = [path for path in files_of_the_repository() if path.suffix in CODE and ours(path)]
PYTHON: Final = [path for path in SOURCES if path.suffix == ".py"]
PROSE: Final = [path for path in files_of_the_repository() if path.suffix in TEXT and ours(path)]


def is_test(path: Path) -> bool:
    return path.relative_to(ROOT).parts[0] == "tests"


def test_no_file_is_too_long() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for path in SOURCES
        if (lines := len(path.read_text().splitlines())) > (LONGEST_TEST if is_test(path) else LONGEST)
    }
    assert long == {}


def test_no_function_is_too_long_or_takes_too_many_positional_parameters() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
        for path in PYTHON
        if not is_test(path)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (_lines(node) > LONGEST_FUNCTION or _positional(node) > MOST_POSITIONAL)
        and not _is_command(node)
    ]
    assert found == []


def test_every_module_says_what_it_is_for() -> None:
    without = [
        str(path.relative_to(ROOT))
        for path in PYTHON
        # A unit test is for the module whose name it has.
        if path.relative_to(ROOT).parts[:2] != ("tests", "unit")
        and (tree := ast.parse(path.read_text())).body
        and ast.get_docstring(tree) is None
    ]
    assert without == []


def test_nothing_is_left_to_be_done_in_the_text() -> None:
    found = [
        str(path.relative_to(ROOT)) for path in PROSE if LEFT_OVER.search(path.read_text(errors="replace"))
    ]
    assert found == []


def test_nothing_tells_of_the_machine_that_it_was_written_on() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path in PROSE
        for pattern in (MACHINE, REGISTRY)
        if (match := pattern.search(path.read_text(errors="replace")))
    ]
    assert found == []


def test_no_module_has_a_name_that_says_nothing() -> None:
    assert [
        str(path.relative_to(ROOT)) for path in PYTHON if path.stem in VAGUE or path.parent.name in VAGUE
    ] == []


def test_no_test_is_skipped_or_expected_to_fail() -> None:
    marks = re.compile(r"pytest\.mark\.(skip|skipif|xfail)|pytest\.(skip|xfail)\(")
    assert [
        str(path.relative_to(ROOT)) for path in PYTHON if is_test(path) and marks.search(path.read_text())
    ] == []


def _lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function's body, its docstring left out."""
    body = node.body[1:] if ast.get_docstring(node) is not None else node.body
    return body[-1].end_lineno - body[0].lineno + 1 if body and body[-1].end_lineno else 0


def _positional(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    arguments = [each.arg for each in (*node.args.posonlyargs, *node.args.args)]
    return len([each for each in arguments if each not in ("self", "cls")])


def _is_command(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Whether its parameters are declared for typer, which names each at the call."""
    annotations = [ast.unparse(each.annotation) for each in node.args.args if each.annotation is not None]
    return any("typer." in each for each in annotations) and _lines(node) <= LONGEST_FUNCTION
