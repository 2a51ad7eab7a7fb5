"""The folder of checkpoints, read: a file for each, named by its size, a hundred million entries to a sub-folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

_DIGITS: Final = 20
_FOLDER_DIGITS: Final = 12
_LONGEST: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Kept:
    """A checkpoint that a folder has."""

    where: str
    note: str


def path_of(folder: Path, size: int) -> Path:
    name = f"{size:0{_DIGITS}d}"
    return folder / name[:_FOLDER_DIGITS] / f"{name}.checkpoint"


def newest_in(folder: Path) -> Kept | None:
    """The checkpoint of the largest size. Raises OSError when the folder cannot be read."""
    for inner in sorted((each for each in folder.iterdir() if each.is_dir()), reverse=True):
        names = [each for each in inner.iterdir() if each.suffix == ".checkpoint"]
        if names:
            newest = max(names)
            with newest.open(encoding="utf-8", errors="replace") as file:
                return Kept(str(newest), file.read(_LONGEST))
    return None
