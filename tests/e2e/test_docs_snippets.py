"""The tutorial works as it stands: its marked commands are run, in order, against a running `nser run`.

A block after `<!-- run: NAME -->` is run by bash or Python; `; exit N` says how it ends. A block after
`<!-- answer -->` is what the one before it prints, where `…` stands for whatever is there. Only ports are replaced, by
those of this run.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from lookup_core.cli.addresses import PORTS
from lookup_core.kernel import apikey
from lookup_core.kernel.keyring import KeyRing
from tests.e2e.test_make_run import System, free_offset
from tests.support.rings import kept_in
from tests.support.services import Database

pytestmark = [pytest.mark.timeout(180), pytest.mark.xdist_group("make run")]

ROOT: Final = Path(__file__).resolve().parents[2]
TUTORIAL: Final = ROOT / "docs" / "tutorial" / "first-check.md"
_MARKED: Final = re.compile(
    r"^<!-- (?:run: (?P<name>[\w ]+)(?:; exit (?P<code>\d+))?|(?P<answer>answer)) -->\n"
    r"```(?P<language>\w+)\n(?P<text>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)
ANYTHING: Final = "…"
SETTING_UP: Final = "keys"


@dataclass(slots=True)
class Snippet:
    """One marked block, and the answer that follows it."""

    name: str
    language: str
    text: str
    code: int
    answer: str | None = None


def snippets(page: Path) -> list[Snippet]:
    found: list[Snippet] = []
    for block in _MARKED.finditer(page.read_text(encoding="utf-8")):
        if block["answer"]:
            found[-1].answer = block["text"]
        else:
            found.append(Snippet(block["name"], block["language"], block["text"], int(block["code"] or 0)))
    return found


ALL: Final = snippets(TUTORIAL)
PRODUCTION: Final = ROOT / "docs" / "how-to" / "run-in-production.md"


class Reader:
    """Somebody who follows the page: a folder like a checkout, the commands, the ports of this run."""

    def __init__(self, system: System, folder: Path) -> None:
        self._offset = int(system.environment["NSER_PORT_OFFSET"])
        self._folder = folder
        commands = folder / "bin"
        commands.mkdir()
        (folder / ".nser").symlink_to(system.home.root)
        (folder / ".venv").symlink_to(sys.prefix)
        if shutil.which("grpcurl") is None:
            stand_in = commands / "grpcurl"
            stand_in.write_text(
                f'#!/bin/sh\nexec {sys.executable} {ROOT / "tests/support/grpcurl.py"} "$@"\n'
            )
            stand_in.chmod(0o755)
        path = f"{commands}{os.pathsep}{os.environ['PATH']}"
        self._environment = {
            **system.environment,
            "PATH": path,
            "REPLICA": self.with_ports("127.0.0.1:50051"),
        }

    def run(self, snippet: Snippet) -> subprocess.CompletedProcess[str]:
        text = self.with_ports(snippet.text)
        if snippet.language == "python":
            (self._folder / "snippet.py").write_text(text)
            text = ".venv/bin/python snippet.py"
        setting_up = "" if snippet.name == SETTING_UP else self.with_ports(ALL[0].text)
        return subprocess.run(
            ["bash", "-euc", f"{setting_up}\n{text}"],
            cwd=self._folder,
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def with_ports(self, text: str) -> str:
        """A text with the default ports replaced, in one pass: a new port may be another's default."""
        defaults = {str(port) for pair in PORTS.values() for port in pair}

        def moved(match: re.Match[str]) -> str:
            port = match[1]
            return f"127.0.0.1:{int(port) + self._offset if port in defaults else port}"

        return re.sub(r"127\.0\.0\.1:(\d+)", moved, text)


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    system = System(tmp_path_factory.mktemp("docs") / "home", free_offset())
    try:
        system.start()
        yield Reader(system, tmp_path_factory.mktemp("reader"))
    finally:
        system.end()


def test_the_tutorial_has_its_steps_in_order() -> None:
    assert [snippet.name for snippet in ALL] == [
        SETTING_UP,
        "first check",
        "register",
        "second check",
        "conflict",
        "command line",
        "sdk",
    ]


@pytest.mark.parametrize("snippet", ALL, ids=lambda snippet: snippet.name)
def test_a_snippet_does_what_the_page_says(reader: Reader, snippet: Snippet) -> None:
    done = reader.run(snippet)
    assert done.returncode == snippet.code, done.stderr
    if snippet.answer is None:
        return
    if snippet.language == "bash":
        assert_fits(json.loads(done.stdout), json.loads(snippet.answer))
    else:
        assert done.stdout == snippet.answer


@pytest.mark.services
def test_the_first_key_of_a_register_is_made_as_the_page_says(database: Database, tmp_path: Path) -> None:
    [snippet] = snippets(PRODUCTION)
    environment = {
        **os.environ,
        **kept_in(tmp_path, KeyRing.create()),
        "NSER_REGISTRAR_DATABASE_URL": database.registrar_url,
    }
    made = subprocess.run(
        [sys.executable, "-c", snippet.text],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert apikey.parse(made.stdout.splitlines()[-1])


def assert_fits(given: Any, told: Any, at: str = "answer") -> None:
    """Assert that an answer has exactly the members that the page shows, and their values."""
    if isinstance(told, dict):
        assert list(given) == list(told), at
        for name in told:
            assert_fits(given[name], told[name], f"{at}.{name}")
    elif isinstance(told, str) and told.endswith(ANYTHING):
        assert str(given).startswith(told.removesuffix(ANYTHING)), at
    else:
        assert given == told, at
