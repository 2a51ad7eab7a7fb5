"""What is shipped: the wheel and the source distribution hold all that the package is, and install outside a checkout.

The short form builds in this checkout with what cargo has built already; the long one builds from the source
distribution alone, in an isolated environment, and runs what it installed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

from tests.e2e.test_make_run import System, free_offset
from tests.support.server_process import CHECKOUT

CRATE = "lookup_core/dataplane/"
# Its tests read tests/vectors, which stays in the checkout.
NOT_SHIPPED = (f"{CRATE}tests/",)
EXTENSION = "lookup_core/_dataplane.abi3.so"
OURS = ("protos", "clients/python", "clients/bridge", "clients/sandbox")
NEEDS_CARGO = pytest.mark.xdist_group("cargo")


def tracked(*under: str) -> set[str]:
    """Files of the repository, new ones that are not yet added too."""
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", *under]
    told = subprocess.run(listing, cwd=CHECKOUT, capture_output=True, check=True).stdout.decode()
    return {name for name in told.split("\0") if name and (CHECKOUT / name).exists()}


def setuptools(*commands: str, build_in: Path) -> None:
    """Run commands of setuptools on the checkout; whatever they make is below `build_in`."""
    run = [sys.executable, "-c", "from setuptools import setup; setup()", "--quiet"]
    environment = {"CARGO_TARGET_DIR": str(CHECKOUT / ".cache" / "target"), **os.environ}
    run += ["egg_info", "--egg-base", str(build_in), *commands]
    done = subprocess.run(run, cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@NEEDS_CARGO
@pytest.mark.timeout(900)  # after set-up there is nothing to compile; without it, all of the crate
def test_the_wheel_holds_the_package_its_data_and_one_extension_for_every_python(tmp_path: Path) -> None:
    setuptools(
        *("build", "--build-base", str(tmp_path / "build")),
        *("bdist_wheel", "--bdist-dir", str(tmp_path / "wheel"), "--dist-dir", str(tmp_path)),
        build_in=tmp_path,
    )
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.name.startswith("nser-0.1.0-cp311-abi3-linux_")
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
        told = archive.read("nser-0.1.0.dist-info/METADATA").decode()
        commands = archive.read("nser-0.1.0.dist-info/entry_points.txt").decode()
    assert held == {name for name in tracked("lookup_core") if not name.startswith(CRATE)} | {EXTENSION}
    assert "Requires-Dist: nser-protos" in told
    assert "Requires-Python: >=3.11" in told
    assert "nser = lookup_core.cli.main:app" in commands


def test_the_source_distribution_holds_all_that_a_build_needs(tmp_path: Path) -> None:
    checkout = copy_of_the_checkout(tmp_path / "checkout")
    setuptools_here = [sys.executable, "-c", "from setuptools import setup; setup()", "--quiet", "sdist"]
    subprocess.run(
        [*setuptools_here, "--dist-dir", str(tmp_path)], cwd=checkout, capture_output=True, check=True
    )
    with tarfile.open(tmp_path / "nser-0.1.0.tar.gz") as archive:
        held = {name.partition("/")[2] for name in archive.getnames() if archive.getmember(name).isfile()}
    of_the_package = {name for name in tracked("lookup_core") if not name.startswith(NOT_SHIPPED)}
    assert {name for name in held if name.startswith("lookup_core/")} == of_the_package
    assert {"setup.cfg", "pyproject.toml", "README.md", "LICENSE", f"{CRATE}Cargo.lock"} <= held


def copy_of_the_checkout(into: Path) -> Path:
    for name in tracked():
        target = into / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(CHECKOUT / name, target, follow_symlinks=False)
    return into


@pytest.mark.long
@NEEDS_CARGO
@pytest.mark.timeout(3_000)
def test_it_builds_from_its_source_alone_and_runs_outside_the_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkout, built = copy_of_the_checkout(tmp_path / "checkout"), tmp_path / "built"
    clean = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "CARGO_TARGET"))
    }

    def run(*command: str) -> str:
        done = subprocess.run(
            command, cwd=tmp_path, env=clean, capture_output=True, text=True, check=False, timeout=2_400
        )
        assert done.returncode == 0, done.stdout[-2_000:] + done.stderr[-4_000:]
        return done.stdout

    builder, installed = tmp_path / "builder", tmp_path / "installed"
    for environment in (builder, installed):
        venv.create(environment, with_pip=True)
    run(f"{builder}/bin/pip", "install", "--quiet", "build")
    # The wheel is built from the source distribution, as `python -m build` does.
    run(f"{builder}/bin/python", "-m", "build", "--outdir", str(built), str(checkout))
    for folder in OURS:
        run(f"{builder}/bin/python", "-m", "build", "--wheel", "--outdir", str(built), str(checkout / folder))
    run(f"{installed}/bin/pip", "install", "--quiet", *map(str, built.glob("*.whl")))
    assert "register of self-excluded gamblers" in run(f"{installed}/bin/nser", "--help")
    imported = run(f"{installed}/bin/python", "-c", "import lookup_core._dataplane as it; print(it.__file__)")
    assert Path(imported.strip()).is_relative_to(installed)

    monkeypatch.setattr("tests.e2e.test_make_run.NSER", f"{installed}/bin/nser")
    system = System(tmp_path / "home", free_offset())
    try:
        system.start()
        checked = system.nser("check", "0712345678", "--id", "12345678")
        assert checked.returncode == 0, checked.stdout + checked.stderr
    finally:
        system.end()
