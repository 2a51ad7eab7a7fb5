"""`python -m tests.support.broken_process replica|registrar CLASS`: a process with one safety rule taken out.

CLASS is a class of one of tests/support/broken*.py. It takes the place of the production class that it derives from,
wherever the composition root of that process names it, before the process starts. Or it is a rule of the native plane:
then the replica gets a plane without it (broken_plane.py). Nothing in production code can switch a rule off.
"""

from __future__ import annotations

import importlib
import pkgutil
import runpy
import sys
from types import ModuleType

from tests.support import broken_plane


def modules() -> tuple[ModuleType, ...]:
    """Imported late: they import the replica, which must find its plane in place."""
    from tests.support import broken, broken_around, broken_servers

    return broken_servers, broken_around, broken


def stand_in_named(name: str) -> type:
    stand_in: type = next(getattr(module, name) for module in modules() if hasattr(module, name))
    return stand_in


def replaced_by(stand_in: type) -> type:
    """The production class that a broken one derives from."""
    return next(base for base in stand_in.__mro__ if base.__module__.startswith("lookup_core."))


def plane_of(name: str) -> str:
    """Which process has the part that is broken: registrar or replica."""
    if name in broken_plane.RULES:
        return "replica"
    return replaced_by(stand_in_named(name)).__module__.split(".")[1]


def substitute(plane: str, name: str) -> None:
    """Put the broken class where the production one is named."""
    stand_in = stand_in_named(name)
    replaced = replaced_by(stand_in)
    package = importlib.import_module(f"lookup_core.{plane}")
    for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if not found.name.endswith("__main__"):
            importlib.import_module(found.name)
    places = [
        (module, attribute)
        for module in list(sys.modules.values())
        if module.__name__.startswith(f"lookup_core.{plane}.")
        for attribute, value in vars(module).items()
        if value is replaced
    ]
    # `__main__` is run afterwards, and takes what it names from these modules.
    assert places, f"no module of lookup_core.{plane} names {replaced.__qualname__}"
    for module, attribute in places:
        setattr(module, attribute, stand_in)


if __name__ == "__main__":
    _, plane, name = sys.argv
    if name in broken_plane.RULES:
        broken_plane.take_the_place(name)
    else:
        substitute(plane, name)
    sys.argv = [f"lookup_core.{plane}"]
    runpy.run_module(f"lookup_core.{plane}", run_name="__main__")
