"""Building the peers into `.cache/peers`. What is there is kept while its sources are the same."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.loadgen import ROOT
from benchmarks.peers.running import PeerRefused

CACHE = ROOT / ".cache" / "peers"
HERE = Path(__file__).parent
PROTOS = (
    "nser/lookup/v1/lookup.proto",
    "nser/type/v1/identity.proto",
    "nser/type/v1/exclusion.proto",
    "buf/validate/validate.proto",
)
DEBIAN = "libgrpc++-dev libprotobuf-dev protobuf-compiler protobuf-compiler-grpc libssl-dev pkg-config g++ redis-server"
GO_PROGRAMS = {
    "ghz": "github.com/bojand/ghz/cmd/ghz@v0.121.0",
    "openfga": "github.com/openfga/openfga/cmd/openfga@v1.22.1",
    "spicedb": "github.com/authzed/spicedb/cmd/spicedb@v1.56.2",
}
GO_BUILD_S = 1_200
SECRET_BYTES = 64


@dataclass(frozen=True, slots=True)
class Setting:
    """What the peers are run with: the people, the secrets, the index that `callback` wrote."""

    people: int
    seed: int
    folder: Path

    @property
    def keys(self) -> Path:
        return self.folder / "keys"

    @property
    def authorization(self) -> Path:
        return self.folder / "authorization"

    @property
    def index(self) -> Path:
        return self.folder / f"index.{self.seed}.{self.people}"


def run(command: Sequence[str | Path], **settings: object) -> None:
    """Run a step of a build. Raises PeerRefused with its last words."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, **settings)  # type: ignore[call-overload]
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PeerRefused(f"{Path(command[0]).name}: {error}") from None
    if done.returncode != 0:
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise PeerRefused(f"{Path(command[0]).name}: {lines[-1] if lines else 'failed'}")


def program(name: str, *, of: str = DEBIAN) -> Path:
    """Find a program of the machine. Raises PeerRefused with the Debian packages that bring it."""
    found = shutil.which(name)
    if found is None:
        raise PeerRefused(f"{name} is not installed: apt-get install {of}")
    return Path(found)


def setting(people: int, seed: int) -> Setting:
    """Make the secrets and the index; another number of people has another index."""
    CACHE.mkdir(parents=True, exist_ok=True)
    made = Setting(people, seed, CACHE)
    if not made.keys.exists():
        made.keys.write_bytes(secrets.token_bytes(SECRET_BYTES))
        for stale in CACHE.glob("index.*"):
            stale.unlink()
    made.authorization.write_text(f"Bearer {secrets.token_hex(32)}")
    if not made.index.exists():
        draft = made.index.with_suffix(".new")
        options = ("--people", str(people), "--seed", str(seed), "--keys", made.keys, "--index", draft)
        run([callback(), *options])
        draft.rename(made.index)
    return made


def callback() -> Path:
    """Build the C++ peer with Debian's gRPC."""
    source, built = HERE / "callback.cc", CACHE / "callback"
    sources = [source, *(ROOT / "protos" / name for name in PROTOS if not name.startswith("buf/"))]
    fresh = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()
    stamp = CACHE / "callback.sources"
    if built.exists() and stamp.exists() and stamp.read_text() == fresh:
        return built
    generated = CACHE / "cc"
    shutil.rmtree(generated, ignore_errors=True)
    generated.mkdir(parents=True)
    includes = [f"-I{ROOT / 'protos'}", f"-I{ROOT / 'protos' / 'third_party'}"]
    plugin = f"--plugin=protoc-gen-grpc={program('grpc_cpp_plugin')}"
    outputs = [f"--cpp_out={generated}", f"--grpc_out={generated}"]
    run([program("protoc"), *includes, *outputs, plugin, *PROTOS])
    libraries = subprocess.run(
        [program("pkg-config"), "--cflags", "--libs", "grpc++", "protobuf", "libcrypto"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    # libcrypto's SHA256_* are deprecated for the slower EVP: a key block hashed once is worth it.
    flags = ["-std=c++17", "-O3", "-Wno-deprecated-declarations", f"-I{generated}"]
    run([program("g++"), *flags, "-o", built, source, *generated.rglob("*.cc"), *libraries])
    stamp.write_text(fresh)
    return built


def go_program(name: str) -> Path:
    """Build a Go program at its pinned version: some minutes, once."""
    module = GO_PROGRAMS[name]
    into = CACHE / "go" / module.rpartition("@")[2]
    if not (into / name).exists():
        print(f"  building {module}: some minutes, once", file=sys.stderr, flush=True)
        run([program("go"), "install", module], env=os.environ | {"GOBIN": str(into)}, timeout=GO_BUILD_S)
    return into / name


def flask_environment() -> Path:
    """Make the virtual environment of the Flask peer, and return its folder of programs."""
    wanted = (HERE / "requirements.txt").read_text()
    folder = CACHE / "flask"
    stamp = folder / ".requirements"
    if not (stamp.exists() and stamp.read_text() == wanted):
        shutil.rmtree(folder, ignore_errors=True)
        run([sys.executable, "-m", "venv", folder])
        install = ["-m", "pip", "install", "--quiet", "--require-hashes", "--requirement"]
        run([folder / "bin" / "python", *install, HERE / "requirements.txt"])
        stamp.write_text(wanted)
    return folder / "bin"
