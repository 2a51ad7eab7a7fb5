"""NSER_HOME: the one folder that holds what `make run` and the tests keep on disk, and the secrets made for it.

Refuses to share: the folder is the owner's alone (0700), secrets are 0600, and a second live process that claims the
same server folder is turned away by name.
"""

import fcntl
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Self


class ServerRefused(Exception):
    """An embedded server cannot be started; the message says what to do."""


def private_folder(path: Path) -> Path:
    """Make `path` (and what is above it), for its owner only, and return it."""
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    return path


def secret(path: Path) -> str:
    """Return the secret kept in the file `path`, made on first use (192 bits, URL-safe, mode 0600)."""
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        text = secrets.token_urlsafe(24)
    # Written aside and renamed: a killed first start leaves no empty secret.
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text + "\n")
    draft.rename(path)
    return text


@dataclass(frozen=True, slots=True)
class Home:
    """The folders below NSER_HOME."""

    root: Path

    @classmethod
    def at(cls, path: Path | str) -> Self:
        return cls(private_folder(Path(path).absolute()))

    @property
    def postgres(self) -> Path:
        return self.root / "postgres"

    @property
    def redis(self) -> Path:
        return self.root / "redis"

    @property
    def servers(self) -> Path:
        """Server programs unpacked from packages."""
        return self.root / "servers"


class FolderClaim:
    """A live process's claim on a server folder; the kernel ends it with the process, however that dies.

    A POSIX record lock, so that a forked child does not inherit it. Within one process it claims nothing.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "owner.lock"
        self._fd: int | None = None

    def take(self) -> None:
        """Raises ServerRefused when another live process has the folder."""
        if self._fd is not None:
            return
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            owner = os.pread(fd, 32, 0).decode().strip() or "unknown"
            os.close(fd)
            raise ServerRefused(
                f"The servers in {self._path.parent} belong to process {owner}, which is running. "
                "Stop it (`make stop`), or choose another folder with NSER_HOME."
            ) from None
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        self._fd = fd

    def release(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
