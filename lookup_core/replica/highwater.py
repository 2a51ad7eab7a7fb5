"""The newest position this replica has ever seen of a store, kept across restarts.

A store that comes back behind its own past (a restored backup, a standby that missed commits) would silently drop
acknowledged exclusions; whoever holds a high-water mark notices (SAFETY.md 14). A store with another id is a restore
that was declared: it clears nobody until it is signed off, by the store's own `recovering` flag.
"""

from __future__ import annotations

import json
from pathlib import Path
from uuid import UUID

from lookup_core.domain.chain import Digest
from lookup_core.domain.ids import Revision, StoreId
from lookup_core.kernel.errors import SettingsRefused
from lookup_core.replica.feed import Position


class StoreBehind(Exception):
    """The store has lost or replaced revisions that were seen of it."""


class HighWater:
    """Remembers the highest position, in memory and, where a path is given, in a small file beside the replica."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._position = _read(path) if path is not None and path.exists() else None
        self._written = self._position

    def mark_of(self, store_id: StoreId) -> Position | None:
        """The highest position seen of this store; None when it was never seen."""
        seen = self._position
        return seen if seen is not None and seen.store_id == store_id else None

    def note(self, position: Position) -> None:
        """Remember `position`, and write it down when it moved."""
        self._position = position
        if self._path is not None and position != self._written:
            _write(self._path, position)
            self._written = position


def _read(path: Path) -> Position:
    try:
        saved = json.loads(path.read_text())
        return Position(
            StoreId(UUID(saved["store_id"])),
            Revision(saved["revision"]),
            Digest(bytes.fromhex(saved["digest"])),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as broken:
        raise SettingsRefused(
            f"NSER_REPLICA_HIGHWATER_FILE: {path} is damaged. Make sure that the store has not lost revisions "
            "(runbook replica-halted-store-behind), then delete the file."
        ) from broken


def _write(path: Path, position: Position) -> None:
    draft = path.with_suffix(".draft")
    draft.write_text(
        json.dumps(
            {
                "store_id": str(position.store_id),
                "revision": position.revision,
                "digest": position.digest.hex(),
            }
        )
    )
    draft.replace(path)
