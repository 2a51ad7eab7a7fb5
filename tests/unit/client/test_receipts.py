"""A receipt is believed whole or not at all: every byte of it is changed, and every signature made by another."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from lookup_core.domain import merkle
from lookup_core.domain import receipt as domain
from lookup_core.domain.audit_entry import AuditEntry
from lookup_core.domain.lookup_segment import Named, SealedSegment, SegmentTree
from lookup_core.kernel import notes
from lookup_core.kernel.keyring import KeyRing, Versions
from lookup_core.kernel.notes import Signer
from lookup_core.registrar.receipt_proofs import ReceiptKeys
from nser_client.proofs import ProofRefused
from nser_client.receipt_proofs import signed_bytes, verify_receipt
from nser_client.receipts import Inclusion, Receipt, ReceiptUnreadable

ORIGIN = "test.example/audit"
RING = KeyRing.create()
LOG = Signer(ORIGIN, RING.audit_signing.current)
WITNESS = Signer("witness.example", b"w" * 32)
WITNESS_KEY = notes.Verifier("witness.example", WITNESS.verifier.public_key, notes.COSIGNATURE_V1).text
REPLICA, OPERATOR = UUID(int=7), UUID(int=8)
AT = datetime(2026, 11, 28, 6, 0, 0, 123456, tzinfo=UTC)
TOKEN = bytes(range(16))
SEED = b"s" * 32


def a_row(sequence: int, token: bytes | None = TOKEN) -> bytes:
    at = (AT - datetime(2000, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    fields = (
        *(at.to_bytes(8, "big"), REPLICA.bytes, sequence.to_bytes(8, "big"), OPERATOR.bytes, b"key"),
        *(b"exclusion", b"EXCLUDED", b"DOCUMENT", token, (11).to_bytes(8, "big"), b"call"),
    )
    written = [b"\xff" * 4 if each is None else len(each).to_bytes(4, "big") + each for each in fields]
    return b"\0\x0b" + b"".join(written)


def a_line(segment: SealedSegment, **values: Any) -> bytes:
    told: dict[str, Any] = {
        "salt": b"a" * 16,
        "at": AT,
        "revision": None,
        "request_id": None,
        "actor": "registrar",
        "action": "lookup.segment_sealed",
        "subject": segment.subject,
        "origin": "sealing",
        "reason": segment.reason,
        "correlation_id": "c",
    }
    return AuditEntry(**(told | values)).canonical()


def a_receipt(*, ring: KeyRing = RING, log: Signer = LOG, cosigned: bool = True, **line: Any) -> Receipt:
    """Of the third of five checks, in the second of four entries of the audit log."""
    tree = SegmentTree(SEED, [a_row(number) for number in range(1, 6)])
    sealed = SealedSegment(REPLICA, 3, tree.size, b"f" * 32, tree.root, Named(1, b"r" * 32))
    leaves = [merkle.leaf_hash(each) for each in (b"one", a_line(sealed, **line), b"three", b"four")]
    note = notes.sign(notes.checkpoint_text(ORIGIN, 4, merkle.root(leaves)), log)
    if cosigned:
        note += WITNESS.cosignature(notes.parts(note)[0], 1_795_000_000)
    check = tree.proof(3)
    assert check is not None
    line_proof = domain.Inclusion(a_line(sealed, **line), 1, merkle.inclusion_path(leaves, 1))
    keys = ReceiptKeys.of(ring, ORIGIN)
    return Receipt(
        check=Inclusion(check.leaf, check.index, check.path),
        segment=Inclusion(line_proof.leaf, 1, tuple(line_proof.path)),
        checkpoint=note,
        issued_at=AT,
        key=keys.note,
        signature=keys.signer.sign(domain.signed_bytes(check, line_proof, note, AT)),
    )


def signed_again(receipt: Receipt) -> Receipt:
    """By the register's own key: what then refuses it is the proof alone."""
    return replace(receipt, signature=ReceiptKeys.of(RING, ORIGIN).signer.sign(signed_bytes(receipt)))


def flips(content: bytes) -> list[bytes]:
    return [content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :] for at in range(len(content))]


def changed_proofs(proof: Inclusion) -> list[Inclusion]:
    return [
        *(replace(proof, leaf=leaf) for leaf in (*flips(proof.leaf), proof.leaf[:-1], proof.leaf + b"\0")),
        *(replace(proof, index=index) for index in range(6) if index != proof.index),
        *(replace(proof, path=path) for path in (proof.path[1:], proof.path[:-1], (*proof.path, b"x" * 32))),
        *(
            replace(proof, path=(*proof.path[:at], other, *proof.path[at + 1 :]))
            for at, each in enumerate(proof.path)
            for other in (*flips(each), each[:-1])
        ),
    ]


def test_a_receipt_says_what_was_asked_and_told() -> None:
    proved = verify_receipt(a_receipt(), LOG.verifier.text, WITNESS_KEY)
    assert (proved.at, proved.operator_id, proved.key_id) == (AT, OPERATOR, "key")
    assert (proved.purpose, proved.outcome, proved.basis) == ("exclusion", "EXCLUDED", "DOCUMENT")
    assert proved.bst is not None
    assert proved.bst.startswith(f"BST-02-{TOKEN.hex().upper()}-")
    assert (proved.revision, proved.correlation_id, proved.sequence) == (11, "call", 3)
    assert (proved.not_before, proved.checkpoint.size) == (1, 4)
    assert proved.checkpoint.cosigned == {"witness.example": 1_795_000_000}


def test_without_a_witness_it_is_verified_by_the_log_alone() -> None:
    receipt = a_receipt(cosigned=False)
    assert verify_receipt(receipt, LOG.verifier.text).checkpoint.cosigned == {}
    with pytest.raises(ProofRefused, match="0 of the witnesses"):
        verify_receipt(receipt, LOG.verifier.text, WITNESS_KEY)


@pytest.mark.parametrize("again", [False, True], ids=["as it is", "signed again by the key of receipts"])
def test_no_change_of_a_proof_is_believed(again: bool) -> None:
    receipt = a_receipt()
    changes = [replace(receipt, check=each) for each in changed_proofs(receipt.check)]
    changes += [replace(receipt, segment=each) for each in changed_proofs(receipt.segment)]
    for changed in changes:
        with pytest.raises(ProofRefused):
            verify_receipt(signed_again(changed) if again else changed, LOG.verifier.text)


@pytest.mark.parametrize(
    "change",
    [
        lambda it: replace(it, issued_at=it.issued_at + timedelta(microseconds=1)),
        lambda it: replace(it, checkpoint=it.checkpoint.replace("\n4\n", "\n5\n")),
        lambda it: replace(it, checkpoint=it.checkpoint.replace(ORIGIN, "other.example/audit")),
        lambda it: replace(it, checkpoint=a_receipt(cosigned=False).checkpoint),
        lambda it: replace(it, key=it.key.replace("receipt-key-1", "receipt-key-2")),
        lambda it: replace(it, key=it.checkpoint),
        lambda it: replace(it, checkpoint=it.key),
        lambda it: replace(it, signature=it.signature[:-1]),
        lambda it: replace(it, signature=flips(it.signature)[5]),
        lambda it: replace(it, signature=b""),
    ],
    ids=[
        *(
            "when issued",
            "size",
            "origin",
            "without its cosignature",
            "text of the key",
            "key is a checkpoint",
        ),
        *("checkpoint is the key", "short signature", "other signature", "no signature"),
    ],
)
def test_no_other_change_is_believed(change: Callable[[Receipt], Receipt]) -> None:
    with pytest.raises(ProofRefused):
        verify_receipt(change(a_receipt()), LOG.verifier.text)


@pytest.mark.parametrize(
    "receipt",
    [
        lambda: a_receipt(log=Signer(ORIGIN, b"o" * 32)),
        lambda: a_receipt(ring=KeyRing.create()),
        lambda: signed_again(replace(a_receipt(), key=a_receipt(ring=KeyRing.create()).key)),
        lambda: a_receipt(action="exclusion.created"),
        lambda: a_receipt(reason="entries=5 and nothing else"),
    ],
    ids=[
        "another log's key",
        "another register",
        "another's key of receipts",
        "another action",
        "another reason",
    ],
)
def test_what_another_made_is_not_believed(receipt: Callable[[], Receipt]) -> None:
    with pytest.raises(ProofRefused):
        verify_receipt(receipt(), LOG.verifier.text)


def test_after_a_rotation_of_the_logs_key_either_key_verifies_what_it_signed() -> None:
    two = Versions({1: RING.audit_signing.current, 2: b"n" * 32}, 2)
    ring = replace(RING, audit_signing=two)
    old, new = LOG, Signer(ORIGIN, two.current)
    for signer in (old, new):
        assert verify_receipt(a_receipt(ring=ring, log=signer), signer.verifier.text).sequence == 3
    with pytest.raises(ProofRefused):
        verify_receipt(a_receipt(ring=ring, log=old), new.verifier.text)


def test_both_sides_sign_the_same_bytes() -> None:
    receipt = a_receipt()
    server = domain.signed_bytes(
        domain.Inclusion(receipt.check.leaf, receipt.check.index, receipt.check.path),
        domain.Inclusion(receipt.segment.leaf, receipt.segment.index, receipt.segment.path),
        receipt.checkpoint,
        receipt.issued_at,
    )
    assert signed_bytes(receipt) == server


def test_a_receipt_is_kept_as_json_and_read_again() -> None:
    receipt = a_receipt()
    assert Receipt.from_json(receipt.to_json()) == receipt
    written = json.loads(receipt.to_json())
    assert base64.b64decode(written["check"]["leaf"]) == receipt.check.leaf
    assert set(written["segment"]) == {"leaf", "index", "path"}


@pytest.mark.parametrize(
    "change",
    [
        lambda it: it.pop("check"),
        lambda it: it.update(format="nser-receipt-2"),
        lambda it: it.update(more=1),
        lambda it: it["check"].update(index="3"),
        lambda it: it["check"].update(index=-1),
        lambda it: it["check"].update(index=True),
        lambda it: it["check"].update(path="AAAA"),
        lambda it: it["check"].update(leaf="not base64"),
        lambda it: it.update(issued_at="yesterday"),
        lambda it: it.update(issued_at="2026-11-28T06:00:00"),
        lambda it: it.update(segment=[]),
        lambda it: it.update(checkpoint=None),
    ],
)
def test_what_is_no_receipt_is_refused(change: Callable[[dict[str, Any]], object]) -> None:
    written = json.loads(a_receipt().to_json())
    change(written)
    for text in (json.dumps(written), "", "null", "[" * 100_000):
        with pytest.raises(ReceiptUnreadable):
            Receipt.from_json(text)
