"""Run the tests of all that is written in Rust, with a Redis of their own (`make test` does).

Arguments go to `cargo test` of the data plane, and then nothing else is run.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from lookup_core.embedded.programs import find_redis
from lookup_core.embedded.redis import EmbeddedRedis

ROOT: Final = Path(__file__).resolve().parent.parent
DATAPLANE: Final = ROOT / "lookup_core" / "dataplane"
ATOMICS: Final = ("--package", "nser-dataplane-atomics")


def main() -> int:
    with tempfile.TemporaryDirectory() as folder, EmbeddedRedis(Path(folder) / "redis") as redis:
        environment = os.environ | {
            "CARGO_TARGET_DIR": os.environ.get("CARGO_TARGET_DIR", str(ROOT / ".cache" / "target")),
            "NSER_TEST_REDIS_URL": redis.url(),
            "NSER_TEST_REDIS_PROGRAM": str(find_redis()),
        }
        failed = tests_in(DATAPLANE, environment, "--no-default-features", *sys.argv[1:])
        if len(sys.argv) > 1:
            return failed
        failed |= tests_in(DATAPLANE, environment, *ATOMICS)
        # Every order that the memory model allows of the atomics that answers hang on.
        failed |= tests_in(DATAPLANE, environment, *ATOMICS, "--features", "loom")
        failed |= tests_in(ROOT / "benchmarks" / "loadgen", environment)
    return failed


def tests_in(crate: Path, environment: Mapping[str, str], *arguments: str) -> int:
    command = ["cargo", "test", "--quiet", "--locked", *arguments]
    return subprocess.run(command, cwd=crate, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
