"""Which API key a command uses: the environment's, else the demo's of this home. Never an argument: those are seen."""

import os

from lookup_core.cli.exits import CommandFailed, ExitCode
from lookup_core.cli.home import RunHome

API_KEY = "NSER_API_KEY"
ADMIN_KEY = "NSER_ADMIN_KEY"


def key(*names: str) -> str:
    """The first of `names` that the environment has, else the first that demo.env has."""
    demo = RunHome.here().demo()
    for place in (os.environ, demo):
        for name in names:
            if found := place.get(name, "").strip():
                return _sendable(name, found)
    raise CommandFailed(
        f"No API key: {' or '.join(names)} is not set, and {RunHome.here().demo_env} does not hold one.",
        code=ExitCode.NOT_PERMITTED,
        attempt="make run   (it writes demo keys), or set the variable",
        reason="CREDENTIALS_MISSING",
    )


def _sendable(name: str, found: str) -> str:
    """The key, if a header can carry it; what it cannot carry is no key of ours."""
    if not all("!" <= character <= "~" for character in found):
        raise CommandFailed(
            f"{name} is not an API key: it has blanks or characters that no key has. Copy it again.",
            code=ExitCode.NOT_PERMITTED,
            reason="CREDENTIALS_INVALID",
        )
    return found
