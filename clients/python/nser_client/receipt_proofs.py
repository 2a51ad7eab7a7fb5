"""Believing a receipt, or not: with the public key of the register's audit log, and nothing else of the register's.

    proved = verify_receipt(Receipt.load("receipt.json"), "register.example.ke/audit+0a1b2c3d+AR…")
    print(proved.at, proved.bst, proved.outcome)

Follows four links: the key of the log signed the checkpoint and named the key of receipts; the segment's line is in the
log of that checkpoint; the check is in that segment; the key of receipts signed all of it. What holds was recorded by
the register and is in the log for good. It does not prove that the answer was right, nor the moment more closely than
the register's own clock says it. Needs `cryptography`: pip install 'nser-client[receipts]'.
"""

from __future__ import annotations

import base64
import binascii
import re
import struct
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from nser_client.proofs import (
    Checkpoint,
    ProofRefused,
    VerifierKey,
    check_inclusion,
    leaf_hash,
    open_checkpoint,
    open_note,
    root_from_inclusion,
)
from nser_client.receipts import Inclusion, Receipt

SALT: Final = 16
_SIGNED: Final = b"nser-receipt-1\0"
_KEY: Final = "nser-receipt-key-1"
_LINE: Final = b"nser-audit-1\n"
_LINE_FIELDS: Final = 10
_ACTION: Final = 5
_REASON: Final = 8
_SEALED: Final = "lookup.segment_sealed"
_TOLD: Final = re.compile(
    r"entries=([1-9][0-9]{0,18}) root=([0-9a-f]{64}) sha256=[0-9a-f]{64} "
    r"checkpoint=(?:none|([1-9][0-9]{0,19}):[0-9a-f]{64})"
)
_ROW_FIELDS: Final = 11
_YEAR_2000: Final = datetime(2000, 1, 1, tzinfo=UTC)
_YEAR_1970: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class ProvedCheck:
    """What a receipt proves. Times are the register's."""

    at: datetime
    operator_id: UUID
    key_id: str
    purpose: str
    outcome: str
    basis: str | None
    bst: str | None  # the person's token; None where the register had none for them
    revision: int
    correlation_id: str
    replica_id: UUID
    sequence: int
    checkpoint: Checkpoint
    """Under which the check is recorded; `cosigned` has the witnesses given, and when they saw it."""
    not_before: int
    """The size of the log that the replica knew when it began to write the segment; 0 where it knew none."""
    issued_at: datetime


def verify_receipt(
    receipt: Receipt, log_key: VerifierKey | str, witness_key: VerifierKey | str | None = None
) -> ProvedCheck:
    """Return what the receipt proves. Raises ProofRefused, which says the step that failed.

    `log_key` is the published key of the audit log. With `witness_key`, the witness must have cosigned the checkpoint.
    """
    log = _key(log_key)
    witnesses = () if witness_key is None else (_key(witness_key),)
    checkpoint = open_checkpoint(receipt.checkpoint, log, *witnesses, quorum=len(witnesses))
    check_inclusion(checkpoint, receipt.segment.leaf, receipt.segment.index, receipt.segment.path)
    entries, root, not_before = _line(receipt.segment.leaf)
    check = receipt.check
    if root_from_inclusion(leaf_hash(check.leaf), check.index, entries, check.path) != root:
        raise ProofRefused("The check is not in the segment that the log sealed.")
    _check_signature(receipt, log)
    return _proved(receipt, checkpoint, not_before)


def signed_bytes(receipt: Receipt) -> bytes:
    """Return what the key of receipts signs. Lengths come before what they are of; numbers have 8 bytes, big endian."""
    return b"".join(
        (
            _SIGNED,
            _long((receipt.issued_at - _YEAR_1970) // _MICROSECOND),
            _inclusion(receipt.check),
            _inclusion(receipt.segment),
            _sized(receipt.checkpoint.encode()),
        )
    )


def _check_signature(receipt: Receipt, log: VerifierKey) -> None:
    lines = open_note(receipt.key, log).text.split("\n")
    if len(lines) != 4 or lines[:2] != [_KEY, log.name]:
        raise ProofRefused(
            f"{log.name} has signed this note for another use than to name its key of receipts."
        )
    try:
        public_key = base64.b64decode(lines[2].encode("ascii"), validate=True)
        message = signed_bytes(receipt)
    except (binascii.Error, UnicodeEncodeError, OverflowError):
        raise ProofRefused("The key of receipts, or a text of the receipt, cannot be read.") from None
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(receipt.signature, message)
    except (InvalidSignature, ValueError):
        raise ProofRefused("The signature of the key of receipts is not over this receipt.") from None


def _line(leaf: bytes) -> tuple[int, bytes, int]:
    """The size and the root of the segment whose line this entry of the audit log is, and the checkpoint it names."""
    if not leaf.startswith(_LINE):
        raise ProofRefused("The segment's entry is of no version that is known here.")
    fields = _fields(leaf, len(_LINE))
    if len(fields) != _LINE_FIELDS or fields[_ACTION] != _SEALED.encode():
        raise ProofRefused("The entry of the audit log seals no segment.")
    told = _TOLD.fullmatch((fields[_REASON] or b"").decode("utf-8", "replace"))
    if told is None:
        raise ProofRefused("The entry of the audit log does not say what it seals.")
    return int(told[1]), bytes.fromhex(told[2]), int(told[3] or 0)


def _proved(receipt: Receipt, checkpoint: Checkpoint, not_before: int) -> ProvedCheck:
    """Read the row of the lookup log that the leaf holds."""
    leaf = receipt.check.leaf
    try:
        row = _fields(leaf, SALT + 2)
        (fields,) = struct.unpack_from(">h", leaf, SALT)
        at, replica, sequence, operator, key, purpose, outcome, basis, token, revision, call = row
        if fields != _ROW_FIELDS:
            raise ProofRefused("The check's entry is of no form that is known here.")
        return ProvedCheck(
            at=_YEAR_2000 + _number(at) * _MICROSECOND,
            operator_id=UUID(bytes=operator),
            key_id=_word(key),
            purpose=_word(purpose),
            outcome=_word(outcome),
            basis=None if basis is None else _word(basis),
            bst=None if token is None else _bst(token),
            revision=_number(revision),
            correlation_id=_word(call),
            replica_id=UUID(bytes=replica),
            sequence=_number(sequence),
            checkpoint=checkpoint,
            not_before=not_before,
            issued_at=receipt.issued_at,
        )
    except (ValueError, TypeError, OverflowError, struct.error):
        raise ProofRefused("The check's entry cannot be read.") from None


def _fields(content: bytes, at: int) -> list[bytes | None]:
    """Fields one after the other, each after its length in 4 bytes; -1 for one that is absent. Raises ProofRefused."""
    fields: list[bytes | None] = []
    while at < len(content):
        length = int.from_bytes(content[at : at + 4], "big", signed=True)
        fields.append(None if length == -1 else content[at + 4 : at + 4 + length])
        if length < -1:
            raise ProofRefused("An entry has a field of no length.")
        at += 4 + max(length, 0)
    if at != len(content):
        raise ProofRefused("An entry ends in the middle of a field.")
    return fields


def _bst(token: bytes) -> str:
    if len(token) != SALT:
        raise ValueError("a token has 16 bytes")
    return f"BST-02-{token.hex().upper()}-{binascii.crc_hqx(bytes([2]) + token, 0xFFFF):04X}"


def _number(field: bytes | None) -> int:
    if field is None or len(field) != 8:
        raise ValueError("a number has 8 bytes")
    return int.from_bytes(field, "big", signed=True)


def _word(field: bytes | None) -> str:
    if field is None:
        raise ValueError("a text is missing")
    return field.decode()


def _key(key: VerifierKey | str) -> VerifierKey:
    return VerifierKey.parse(key) if isinstance(key, str) else key


def _inclusion(proof: Inclusion) -> bytes:
    return b"".join((_sized(proof.leaf), _long(proof.index), _long(len(proof.path)), *proof.path))


def _sized(content: bytes) -> bytes:
    return _long(len(content)) + content


def _long(number: int) -> bytes:
    return number.to_bytes(8, "big")
