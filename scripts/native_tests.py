"""Run the tests of the data plane's crate, with a Redis of their own (`make test` does)."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from lookup_core.embedded.programs import find_redis
from lookup_core.embedded.redis import EmbeddedRedis

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    command = ["cargo", "test", "--quiet", "--locked", "--no-default-features", *sys.argv[1:]]
    with tempfile.TemporaryDirectory() as folder, EmbeddedRedis(Path(folder) / "redis") as redis:
        environment = os.environ | {
            "CARGO_TARGET_DIR": os.environ.get("CARGO_TARGET_DIR", str(ROOT / ".cache" / "target")),
            "NSER_TEST_REDIS_URL": redis.url(),
            "NSER_TEST_REDIS_PROGRAM": str(find_redis()),
        }
        crate = ROOT / "lookup_core" / "dataplane"
        return subprocess.run(command, cwd=crate, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
