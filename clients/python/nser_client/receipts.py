"""Receipts of checks, as they are fetched and kept: proof that this operator asked, when, and what it was told.

A receipt is kept as a JSON file, whose form docs/reference/receipt.md describes. Nothing here believes one:
`receipt_proofs.verify_receipt` does that, with public keys alone.
"""

from __future__ import annotations

import binascii
import json
from base64 import b64decode, b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Self

from nser.audit.v1 import receipts_pb2

FORMAT: Final = "nser-receipt-1"
LARGEST: Final = 1_000_000
"""Characters: many times what a receipt has."""


class ReceiptUnreadable(ValueError):
    """What was given is not a receipt in JSON."""


@dataclass(frozen=True, slots=True)
class Inclusion:
    """One level of a receipt: what is hashed as the leaf, its place, and the hashes from it up to the root."""

    leaf: bytes
    index: int
    path: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class Receipt:
    """One check's receipt. `checkpoint` and `key` are signed notes."""

    check: Inclusion
    segment: Inclusion
    checkpoint: str
    issued_at: datetime
    key: str
    signature: bytes

    def to_json(self) -> str:
        """Return the text of a receipt file."""
        written = {
            "format": FORMAT,
            "issued_at": self.issued_at.astimezone(UTC).isoformat(timespec="microseconds"),
            "check": _written(self.check),
            "segment": _written(self.segment),
            "checkpoint": self.checkpoint,
            "key": self.key,
            "signature": _text(self.signature),
        }
        return json.dumps(written, indent=1, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read the text of a receipt file. Raises ReceiptUnreadable. What is read is not verified."""
        try:
            read = json.loads(text if len(text) <= LARGEST else "")
            if read["format"] != FORMAT or set(read) != _MEMBERS:
                raise ReceiptUnreadable(f"This is not a receipt of the form {FORMAT}.")
            receipt = cls(
                check=_read(read["check"]),
                segment=_read(read["segment"]),
                checkpoint=_is(str, read["checkpoint"]),
                issued_at=datetime.fromisoformat(read["issued_at"]),
                key=_is(str, read["key"]),
                signature=_bytes(read["signature"]),
            )
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ReceiptUnreadable(f"This is not a receipt ({type(error).__name__}).") from None
        if receipt.issued_at.tzinfo is None:
            raise ReceiptUnreadable("The time at which the receipt was issued has no time zone.")
        return receipt

    def save(self, path: Path | str) -> None:
        """Write it to a file. Raises OSError."""
        Path(path).write_text(self.to_json(), encoding="utf-8")

    @classmethod
    def load(cls, path: Path | str) -> Self:
        """Read it from a file. Raises OSError, ReceiptUnreadable."""
        return cls.from_json(Path(path).read_text(encoding="utf-8"))


@dataclass(frozen=True, slots=True)
class Receipts:
    """The receipts of the checks that were asked for, in the order of the checks.

    `pending` checks are not under a signed checkpoint yet: fetch again after `retry_after_s`. For `unprovable` ones the
    register's own log is no longer what it sealed; it was alarmed, and has no receipt to give.
    """

    receipts: Sequence[Receipt]
    pending: int = 0
    retry_after_s: float = 0.0
    unprovable: int = 0


_MEMBERS: Final = frozenset({"format", "issued_at", "check", "segment", "checkpoint", "key", "signature"})


def receipt_from(message: receipts_pb2.Receipt) -> Receipt:
    """Read a receipt off the wire."""
    return Receipt(
        check=_inclusion(message.check),
        segment=_inclusion(message.segment),
        checkpoint=message.checkpoint,
        issued_at=message.issued_at.ToDatetime(UTC),
        key=message.key,
        signature=message.signature,
    )


def _inclusion(message: receipts_pb2.Inclusion) -> Inclusion:
    return Inclusion(message.leaf, message.index, tuple(message.path))


def _written(proof: Inclusion) -> dict[str, Any]:
    return {"leaf": _text(proof.leaf), "index": proof.index, "path": [_text(each) for each in proof.path]}


def _read(written: Any) -> Inclusion:
    if set(written) != {"leaf", "index", "path"}:
        raise ReceiptUnreadable("A proof has a leaf, an index and a path.")
    index = _is(int, written["index"])
    if not 0 <= index < 2**63:
        raise ReceiptUnreadable("An index is a number from 0 on.")
    return Inclusion(
        _bytes(written["leaf"]), index, tuple(_bytes(each) for each in _is(list, written["path"]))
    )


def _is(kind: type[Any], value: Any) -> Any:
    if type(value) is not kind:
        raise ReceiptUnreadable(f"Where {kind.__name__} is expected, there is {type(value).__name__}.")
    return value


def _text(content: bytes) -> str:
    return b64encode(content).decode("ascii")


def _bytes(text: Any) -> bytes:
    try:
        return b64decode(_is(str, text).encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raise ReceiptUnreadable("The base64 of a receipt cannot be read.") from None
