"""Files that hold keys: mode 0600, written whole or not at all, and refused when others could read them."""

import os
import stat
from pathlib import Path
from typing import Final

from lookup_core.kernel.errors import SettingsRefused

_OWNER_ONLY: Final = frozenset({0o600, 0o400})  # 0400: how secrets are mounted into containers
_FROM_SYSTEMD: Final = 0o440  # root's: an access list names the service, and shows as the group's right


def read_secret(path: Path, variable: str, made_by: str) -> bytes:
    """Read a file of keys. Raises SettingsRefused with the `variable` that names it and what makes one."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise SettingsRefused(f"{variable}: {path} cannot be read ({error.strerror}). {made_by}") from None
    try:
        status = os.fstat(descriptor)  # of the opened file: nobody can swap it after the look
        if not stat.S_ISREG(status.st_mode):
            raise SettingsRefused(f"{variable}: {path} is not a file. {made_by}")
        mode = stat.S_IMODE(status.st_mode)
        if mode not in _OWNER_ONLY and (mode, status.st_uid, status.st_gid) != (_FROM_SYSTEMD, 0, 0):
            raise SettingsRefused(
                f"{variable}: {path} has mode {mode:04o} and must be its owner's alone. Run: chmod 600 {path}"
            )
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read()
    finally:
        os.close(descriptor)


def write_secret(path: Path, content: bytes, *, replace: bool) -> None:
    """Write a file of keys with mode 0600, in one step.

    Raises FileExistsError when it exists and `replace` is false, so that no key is lost by a second start.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, 0o600)  # whatever the umask is
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        if replace:
            part.replace(path)
        else:
            os.link(part, path)  # fails if it exists, and shows the whole file or none
        _sync_folder(path.parent)
    finally:
        part.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
