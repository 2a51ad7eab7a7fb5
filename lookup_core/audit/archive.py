"""Months of the audit log in files, with the proof that they are what was signed.

Two files for a month. `audit-2026-11.entries`: for each entry its length (four bytes, big endian) and its canonical
bytes. `audit-2026-11.json`: the number of the first, and what a checkpoint needs to be made from these entries: the
hashes before and after them. Nothing else is needed to verify a month but the public key.

A month's file has every entry from its first to its last, so that it is one piece; clocks of two registrars may have
put an entry of the month before or after in between.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from lookup_core.audit.checking import Finding
from lookup_core.audit.copied import SELECT, Copied, canonical
from lookup_core.audit.log import Log
from lookup_core.audit.verifying import Verified
from lookup_core.domain.merkle import Tree, complete_subtrees, leaf_hash
from lookup_core.kernel import notes

FORMAT: Final = "nser-audit-archive-1"
_LENGTH_BYTES: Final = 4
_LONGEST: Final = 1 << 20
_PIECE: Final = 1 << 20
_BOUNDS: Final = "SELECT min(entry_id), max(entry_id) FROM register.audit_entry WHERE at >= $1 AND at < $2"


class NothingToExport(Exception):
    """The month has no entry, or is not whole and under a checkpoint yet. Says which."""


async def export_month(connection: Any, month: str, into: Path) -> tuple[Path, int]:
    """Write a month into a folder; gives the file with the proof and how many entries.

    Raises NothingToExport, ValueError for what is no month, OSError.
    """
    begins = datetime.strptime(month, "%Y-%m").replace(tzinfo=UTC)
    ends = begins.replace(year=begins.year + begins.month // 12, month=begins.month % 12 + 1)
    first, last = await connection.fetchrow(_BOUNDS, begins, ends)
    if first is None:
        raise NothingToExport(f"The log has no entry of {month}.")
    if datetime.now(UTC) < ends:
        raise NothingToExport(f"{month} is not over.")
    log, end = Log(connection), last + 1
    sealed = await log.checkpoint(end)
    if sealed is None:
        raise NothingToExport(f"The last entries of {month} are not under a checkpoint yet.")
    size, note = sealed
    proof = {
        "format": FORMAT,
        "month": month,
        "first": first,
        "end": end,
        "before": [_text(each) for each in await log.nodes(complete_subtrees(0, first))],
        "after": [_text(each) for each in await log.nodes(complete_subtrees(end, size))],
        "checkpoint": note,
    }
    path = into / f"audit-{month}.json"
    await _copy(connection, first, end, path.with_suffix(".entries"))
    with path.open("x", encoding="utf-8") as file:  # last: a proof without its entries would be no use
        json.dump(proof, file, indent=1)
    return path, end - first


async def _copy(connection: Any, first: int, end: int, path: Path) -> None:
    stream, written = Copied(), 0
    with path.open("xb") as file:

        async def take(arrived: bytes) -> None:
            nonlocal written
            for number, fields in stream.rows(arrived):
                if number != first + written:
                    raise NothingToExport(
                        f"Entry {first + written} is missing or there twice: verify the log."
                    )
                entry = canonical(fields)
                file.write(len(entry).to_bytes(_LENGTH_BYTES, "big") + entry)
                written += 1

        query = f"{SELECT} WHERE entry_id >= $1 AND entry_id < $2 ORDER BY entry_id"
        await connection.copy_from_query(query, first, end, output=take, format="binary")
    if written != end - first:
        raise NothingToExport(f"Entry {first + written} is missing: verify the log.")


def verify_file(proof_file: Path, verifiers: Sequence[notes.Verifier]) -> Verified:
    """Verify a month from its two files. Raises OSError."""
    begun = time.perf_counter()
    verified = Verified()
    try:
        first = _verify(proof_file, verifiers, verified)
    except (ValueError, KeyError, TypeError) as error:
        verified.findings.append(Finding(0, f"cannot be verified: {proof_file}: {error}"))
    else:
        verified.checkpoints, verified.sealed = 1, first + verified.entries
    verified.seconds = time.perf_counter() - begun
    return verified


def _verify(proof_file: Path, verifiers: Sequence[notes.Verifier], verified: Verified) -> int:
    """Raises ValueError unless the checkpoint is made from these entries. Gives the first one's number."""
    proof = json.loads(proof_file.read_text(encoding="utf-8"))
    if proof["format"] != FORMAT:
        raise ValueError("another format")
    first, end = int(proof["first"]), int(proof["end"])
    said = notes.parse_checkpoint(notes.open(proof["checkpoint"], *verifiers))
    tree = Tree()
    for (level, _), hash_ in zip(complete_subtrees(0, first), proof["before"], strict=True):
        tree.add(level, _hash(hash_))
    for entry in _entries(proof_file.with_suffix(".entries")):
        tree.append(leaf_hash(entry))
        verified.entries += 1
    if tree.size != end:
        raise ValueError(f"entries {first} to {end - 1} are named, and {verified.entries} are there")
    for (level, _), hash_ in zip(complete_subtrees(end, said.size), proof["after"], strict=True):
        tree.add(level, _hash(hash_))
    if (tree.size, tree.root()) != (said.size, said.root):
        raise ValueError("these entries are not what was signed")
    return first


def _entries(path: Path) -> Iterator[bytes]:
    with path.open("rb", buffering=_PIECE) as file:
        while begins := file.read(_LENGTH_BYTES):
            length = int.from_bytes(begins, "big")
            entry = file.read(length) if length <= _LONGEST else b""
            if len(begins) != _LENGTH_BYTES or len(entry) != length:
                raise ValueError("the file of entries is cut")
            yield entry


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")


def _hash(text: str) -> bytes:
    return base64.b64decode(text, validate=True)
