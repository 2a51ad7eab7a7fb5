"""Make requirements.lock: every dependency of our five packages at one version, with hashes (`make lock`).

The names come from the setup.cfg files alone. Our own packages are left out (they are installed from this checkout,
without dependencies), so nobody can serve us a package of that name from a registry. Refuses to write a lock that
holds a registry's address or a path of this machine, or a gRPC family of two versions.
"""

import configparser
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements.lock"
PROJECTS = (".", "protos", "clients/python", "clients/bridge", "clients/sandbox")
PYTHON = "3.11"
HEADER = """\
# Every dependency of the packages in this checkout, with the hashes of the registry's files.
# Made by `make lock` from the setup.cfg files; do not edit.
"""
GRPC_FAMILY = ("grpcio", "grpcio-status", "grpcio-health-checking", "grpcio-reflection", "grpcio-tools")
# The newest version that the whole family has; generated code refuses an older runtime than its generator.
GRPC_VERSION = "1.85.1"


def requirements() -> list[str]:
    """Return what the setup.cfg files ask for, our own packages left out."""
    wanted: set[str] = set()
    ours: set[str] = set()
    for project in PROJECTS:
        config = configparser.ConfigParser()
        config.read(ROOT / project / "setup.cfg")
        ours.add(config["metadata"]["name"])
        texts = [config["options"]["install_requires"]]
        if config.has_section("options.extras_require"):
            texts += config["options.extras_require"].values()
        for line in "\n".join(texts).splitlines():
            requirement = line.split("#")[0].strip()
            if requirement:
                wanted.add(requirement)
    wanted.update(f"{name}=={GRPC_VERSION}" for name in GRPC_FAMILY)
    return sorted(line for line in wanted if re.split(r"[\[<>=!~ ;]", line)[0] not in ours)


def compile_lock(wanted: list[str], *, upgrade: bool) -> str:
    """Resolve `wanted` by uv against the registry and return the lock's text."""
    uv = Path(sys.executable).parent / "uv"
    command = [str(uv), "pip", "compile", "-", "--generate-hashes", "--universal", "--python-version", PYTHON]
    command += ["--no-annotate", "--no-header", "--no-config", "--quiet", "--output-file", str(LOCK)]
    if upgrade:
        command.append("--upgrade")
    # A machine's own wheel folder must not put its hashes into everybody's lock.
    environment = {name: value for name, value in os.environ.items() if name != "UV_FIND_LINKS"}
    subprocess.run(command, input="\n".join(wanted), text=True, check=True, env=environment, cwd=ROOT)
    body = LOCK.read_text()
    return body if body.startswith("#") else HEADER + body


def faults(text: str) -> list[str]:
    """Say what makes `text` unfit as a lock that others install from."""
    found = [
        f"names an address or a path: {line}"
        for line in text.splitlines()
        if re.search(r"://|^-|^ *file:", line)
    ]
    versions = dict(re.findall(r"^([\w.-]+)==([^\s;]+)", text, flags=re.MULTILINE))
    family = {name: versions.get(name) for name in GRPC_FAMILY}
    if len(set(family.values())) != 1:
        found.append(f"the gRPC family is not of one version: {family}")
    return found


def main() -> int:
    text = compile_lock(requirements(), upgrade="--upgrade" in sys.argv)
    if found := faults(text):
        LOCK.unlink()
        print("\n".join(["requirements.lock was not written:", *found]), file=sys.stderr)
        return 1
    LOCK.write_text(text)
    print(f"requirements.lock: {len(re.findall('^[^#-].*==', text, flags=re.MULTILINE))} packages")
    return 0


if __name__ == "__main__":
    sys.exit(main())
