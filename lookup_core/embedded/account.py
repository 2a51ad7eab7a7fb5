"""As whom PostgreSQL runs: it refuses uid 0, in containers as anywhere.

As root there are two ways, tried in this order: a user namespace in which we are uid 1000 (files stay root's, works
below root's 0700 home), or the account `nobody` (the folder is given to it and must be reachable by it).
"""

import os
import pwd
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lookup_core.embedded.home import ServerRefused

NAMESPACE = ("unshare", "--user", "--map-user=1000", "--map-group=1000")


@dataclass(frozen=True, slots=True)
class Account:
    """A command prefix, and the owner that files must have for what it runs (None: ours)."""

    prefix: tuple[str, ...] = ()
    owner: tuple[int, int] | None = None

    def give(self, path: Path) -> None:
        """Make `path` and what is in it the account's own. Raises ServerRefused when the account cannot reach it."""
        if self.owner is None:
            return
        for each in [path, *path.rglob("*")]:
            os.chown(each, *self.owner, follow_symlinks=False)
        if not _works([*self.prefix, "test", "-w", str(path)]):
            raise ServerRefused(
                f"{path} cannot be reached by the account nobody, and PostgreSQL refuses to run as root. "
                "Choose a folder outside root's home with NSER_HOME, or run as another user."
            )


def _works(command: list[str]) -> bool:
    if shutil.which(command[0]) is None:
        return False
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _nobody() -> Account:
    entry = pwd.getpwnam("nobody")
    prefix = ("setpriv", f"--reuid={entry.pw_uid}", f"--regid={entry.pw_gid}", "--clear-groups")
    return Account(prefix, (entry.pw_uid, entry.pw_gid))


def account_for_postgres(
    *, uid: int | None = None, works: Callable[[list[str]], bool] = _works, folder: Path | None = None
) -> Account:
    """Choose the account. A `folder` that was given to nobody earlier stays with nobody.

    Raises ServerRefused when neither way works.
    """
    if (os.getuid() if uid is None else uid) != 0:
        return Account()
    earlier = folder.stat().st_uid if folder is not None and folder.exists() else 0
    if earlier == 0 and works([*NAMESPACE, "true"]):
        return Account(NAMESPACE)
    nobody = _nobody()
    if works([*nobody.prefix, "true"]):
        return nobody
    raise ServerRefused(
        "PostgreSQL refuses to run as root, and neither `unshare --user` nor `setpriv --reuid` works here. "
        "Run as another user, or give the URL of a server in NSER_DATABASE_URL."
    )
