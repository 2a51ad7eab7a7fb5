"""The native load generator: built into `.cache/target`, run as a process of its own, its report read as JSON."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from lookup_core.kernel.scheduling import short_slices

ROOT = Path(__file__).resolve().parents[2]
CRATE = Path(__file__).parent
PATIENCE_S = 900

Report = dict[str, Any]
"""As printed: see `Report` in src/tally.rs."""


def build() -> Path:
    """Build it with the release profile, and return the program. Does nothing when it is fresh."""
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / ".cache" / "target"))
    command = ["cargo", "build", "--release", "--locked", "--quiet"]
    subprocess.run(command, cwd=CRATE, check=True, env=os.environ | {"CARGO_TARGET_DIR": str(target)})
    return target / "release" / "loadgen"


def run(program: Path, mode: str, **options: object) -> Report:
    """Run one load: `rate=5000` becomes `--rate 5000`; what is None is left out.

    Raises CalledProcessError when the load could not begin; calls that failed are in the report.
    """
    arguments = [
        text
        for name, value in options.items()
        if value is not None
        for text in (f"--{name.replace('_', '-')}", str(value))
    ]
    with short_slices():  # a generator that is late itself measures its own lateness
        done = subprocess.run(
            [program, mode, *arguments], stdout=subprocess.PIPE, text=True, check=True, timeout=PATIENCE_S
        )
    report: Report = json.loads(done.stdout)
    return report
