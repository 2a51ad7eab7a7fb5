"""Making receipts of entries of the lookup log, and refusing to make one of what is not what was sealed.

A segment's rows are read back and hashed again, and its root is compared with the one in the audit log; the audit log's
own proof is followed up to the signed checkpoint before anything is handed out. So a row that somebody edited in the
database gives no receipt, and raises an alarm. Hashing is done off the event loop, one segment at a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from lookup_core.audit.log import Log, LogBroken
from lookup_core.domain.lookup_segment import SealedSegment, SegmentTree
from lookup_core.domain.merkle import leaf_hash, root_from_inclusion
from lookup_core.domain.receipt import Inclusion, Receipt, key_text, signed_bytes
from lookup_core.kernel import notes
from lookup_core.kernel.clock import Clock
from lookup_core.kernel.keyring import KeyRing
from lookup_core.kernel.notes import Signer
from lookup_core.registrar.store.faults import unreachable
from lookup_core.registrar.store.lookup_log import LookupLog, Place, StoredSegment

MOST_HASHED: Final = 500_000
"""Entries of segments that one call may have hashed, from which on its page ends."""


class Unprovable(Exception):
    """The log is not what was sealed. Says what differs; ids only."""


class _Pending(Exception):
    """Not under a signed checkpoint yet."""


@dataclass(frozen=True, slots=True, repr=False)
class ReceiptKeys:
    """The key of receipts, and the note by which the audit log's key names it."""

    signer: Ed25519PrivateKey
    note: str

    def __repr__(self) -> str:
        return "[secret]"

    @classmethod
    def of(cls, ring: KeyRing, origin: str) -> ReceiptKeys:
        signer = Ed25519PrivateKey.from_private_bytes(ring.receipt_signing.current)
        named = key_text(origin, signer.public_key().public_bytes_raw())
        log_keys = ring.audit_signing.keys
        # By every version: a checkpoint may be of an older one, and one public key must do for the whole receipt.
        signers = [Signer(origin, log_keys[version]) for version in sorted(log_keys)]
        return cls(signer, notes.sign(named, *signers))


@dataclass(slots=True)
class Proved:
    """What came of a page of checks. `rest` begins with the first that was left for another page."""

    receipts: list[Receipt] = field(default_factory=list)
    pending: int = 0
    unprovable: list[str] = field(default_factory=list)
    """A sentence for each segment that is not what was sealed."""
    unprovable_checks: int = 0
    rest: Sequence[Place] = ()


@dataclass(frozen=True, slots=True)
class _Proven:
    """A segment whose tree is the one that was sealed, and the proof of its line."""

    tree: SegmentTree
    line: Inclusion
    checkpoint: str


class Prover:
    """Makes receipts. `audit` reads the audit log, `entries` the lookup log."""

    def __init__(self, entries: LookupLog, audit: Log, keys: ReceiptKeys, clock: Clock) -> None:
        self._entries = entries
        self._audit = audit
        self._keys = keys
        self._clock = clock
        self._one = asyncio.Semaphore(1)

    async def prove(self, places: Sequence[Place]) -> Proved:
        """Raises StoreUnreachable."""
        proved = Proved()
        known: dict[str, _Proven | Unprovable | _Pending] = {}
        hashed = 0
        for nth, place in enumerate(places):
            segment = await self._entries.segment_of(place)
            if segment is None:
                self._count(proved, Unprovable(f"entry {place.replica_id}/{place.sequence} is in no segment"))
                continue
            if segment.subject not in known:
                if hashed >= MOST_HASHED:
                    proved.rest = places[nth:]
                    return proved
                known[segment.subject] = await self._of_segment(segment)
                hashed += segment.entries
            found = known[segment.subject]
            self._count(proved, self._receipt(found, place) if isinstance(found, _Proven) else found)
        return proved

    def _count(self, proved: Proved, result: Receipt | Unprovable | _Pending) -> None:
        match result:
            case Receipt():
                proved.receipts.append(result)
            case _Pending():
                proved.pending += 1
            case Unprovable():
                proved.unprovable_checks += 1
                if str(result) not in proved.unprovable:
                    proved.unprovable.append(str(result))

    def _receipt(self, proven: _Proven, place: Place) -> Receipt | Unprovable:
        check = proven.tree.proof(place.sequence)
        if check is None:
            return Unprovable(f"entry {place.replica_id}/{place.sequence} is not in its segment")
        issued_at = self._clock.now()
        signature = self._keys.signer.sign(signed_bytes(check, proven.line, proven.checkpoint, issued_at))
        return Receipt(check, proven.line, proven.checkpoint, issued_at, self._keys.note, signature)

    async def _of_segment(self, segment: StoredSegment) -> _Proven | Unprovable | _Pending:
        try:
            sealed, line, checkpoint = await self._line_of(segment)
            return _Proven(await self._tree_of(segment, sealed), line, checkpoint)
        except (Unprovable, _Pending) as result:
            return result

    async def _line_of(self, segment: StoredSegment) -> tuple[SealedSegment, Inclusion, str]:
        """What was sealed, from the audit log, and its proof, which was followed."""
        if segment.seed is None:
            raise Unprovable(f"{segment.subject} was stored without a root")
        # In this order: what no longer waits was sealed before it was looked for.
        if await self._entries.waits_to_be_sealed(segment):
            raise _Pending
        if (number := await self._entries.seal_of(segment)) is None:
            raise Unprovable(f"{segment.subject} neither waits to be sealed nor is sealed")
        covering = await self._entries.cosigned_size(number + 1) or number + 1
        with unreachable():
            checkpoint = await self._audit.checkpoint(covering)
            if checkpoint is None:
                raise _Pending
            try:
                entry = await self._audit.entry(number)
                path = await self._audit.inclusion(number, checkpoint[0])
            except LogBroken as broken:
                raise Unprovable(f"{segment.subject}: {broken}") from None
        if entry is None:
            raise Unprovable(f"{segment.subject}: entry {number} of the audit log is missing")
        line = Inclusion(entry.canonical(), number, tuple(path))
        try:
            sealed = SealedSegment.told(entry.subject, entry.reason)
            _follow(line, checkpoint[1])
        except ValueError as fault:
            raise Unprovable(f"{segment.subject}: entry {number} of the audit log: {fault}") from None
        return sealed, line, checkpoint[1]

    async def _tree_of(self, segment: StoredSegment, sealed: SealedSegment) -> SegmentTree:
        """The tree over the stored rows, if it is the one that was sealed."""
        assert segment.seed is not None
        async with self._one:
            rows = await self._entries.rows(segment)
            tree = await asyncio.to_thread(SegmentTree, segment.seed, rows)
        if (tree.size, tree.root) != (sealed.entries, sealed.root):
            raise Unprovable(f"{segment.subject} is not what was sealed: its rows or its seed were changed")
        return tree


def _follow(line: Inclusion, checkpoint: str) -> None:
    """Raise ValueError unless the line is in the log of this checkpoint."""
    said = notes.parse_checkpoint(notes.parts(checkpoint)[0])
    if root_from_inclusion(leaf_hash(line.leaf), line.index, said.size, line.path) != said.root:
        raise ValueError("it is not under the checkpoint")
