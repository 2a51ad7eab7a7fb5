"""The native plane with one safety rule taken out: a build of the crate for tests alone, and how a process gets it.

`lookup_core/dataplane/src/broken_plane.rs` is that build: the same sources, and another list of the rules in force.
Only it reads BROKEN_RULE; the extension that is shipped has no such thing (tests/unit/replica/test_shipped_plane.py).
"""

from __future__ import annotations

import functools
import importlib.machinery
import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
CRATE: Final = ROOT / "lookup_core" / "dataplane"
NAME: Final = "lookup_core._dataplane"
VARIABLE: Final = "BROKEN_RULE"
RULES: Final = frozenset(
    {
        "ExcludesFromRedis",
        "FailsOpen",
        "LeaseNeverLapses",
        "TokenAfterLookUps",
        "WaitsUntilShipped",
        "WithoutLease",
    }
)
"""What `src/broken/in_force.rs` can take out. Each type's own words say what then goes wrong."""


def target() -> Path:
    return Path(os.environ.get("CARGO_TARGET_DIR", ROOT / ".cache" / "target"))


@functools.cache
def build() -> None:
    """Build it if the crate has changed. Tests that ask at once wait for one build (cargo's own lock).

    Not optimised, and without the link-time optimisation of what is shipped: with the dependencies that the crate's own
    tests have built it takes seconds.
    """
    command = ["cargo", "build", "--quiet", "--locked", "--example", "broken"]
    environment = os.environ | {"CARGO_TARGET_DIR": str(target()), "PYO3_PYTHON": sys.executable}
    done = subprocess.run(command, cwd=CRATE, env=environment, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def library() -> Path:
    """What `build` made."""
    return target() / "debug" / "examples" / "libbroken.so"


def take_the_place(rule: str) -> None:
    """Make this process's data plane the one without `rule`. Before anything of `lookup_core.replica` is imported."""
    assert NAME not in sys.modules, f"{NAME} is imported already"
    os.environ[VARIABLE] = rule
    loader = importlib.machinery.ExtensionFileLoader(NAME, str(library()))
    spec = importlib.util.spec_from_file_location(NAME, loader.path, loader=loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    sys.modules[NAME] = module
