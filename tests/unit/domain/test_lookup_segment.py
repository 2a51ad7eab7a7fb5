"""The words and the bytes of a sealed segment."""

from __future__ import annotations

import hashlib
import hmac
from uuid import UUID

import pytest

from lookup_core.domain.lookup_segment import (
    Named,
    SealedSegment,
    leaf_of,
    rows_in,
    salt_of,
    sequence_of,
    subject_of,
)

REPLICA = UUID("0190a000-0000-7000-8000-000000000000")
SEED = bytes(range(32))
ROW = (
    b"\0\x03"
    b"\0\0\0\x08"
    + (5).to_bytes(8, "big")
    + b"\0\0\0\x10"
    + REPLICA.bytes
    + b"\0\0\0\x08"
    + (77).to_bytes(8, "big")
)
BEGIN = b"PGCOPY\n\xff\r\n\0" + bytes(8)


def a_segment(checkpoint: Named | None = None) -> SealedSegment:
    return SealedSegment(REPLICA, 3, 5, b"f" * 32, b"r" * 32, checkpoint)


def test_a_segment_is_named_and_described_in_one_line() -> None:
    assert a_segment().subject == subject_of(REPLICA, 3) == f"segment {REPLICA}/3"
    assert a_segment().reason == f"entries=5 root={b'r'.hex() * 32} sha256={b'f'.hex() * 32} checkpoint=none"
    named = a_segment(Named(9, b"c" * 32))
    assert named.reason.endswith(f" checkpoint=9:{b'c'.hex() * 32}")


def test_a_checkpoint_is_packed_in_sixty_four_bytes() -> None:
    named = Named(1 << 40, b"c" * 32)
    assert len(named.packed) == 64
    assert Named.unpacked(named.packed) == named
    assert Named.unpacked(bytes(64)) is None


def test_a_salt_is_a_mac_of_the_sequence_number() -> None:
    assert salt_of(SEED, 77) == hmac.new(SEED, (77).to_bytes(8, "big"), hashlib.sha256).digest()[:16]
    assert leaf_of(SEED, ROW) == salt_of(SEED, 77) + ROW
    assert sequence_of(ROW) == 77


def test_a_stream_is_cut_into_its_rows() -> None:
    null = b"\0\x01\xff\xff\xff\xff"
    assert list(rows_in(BEGIN + ROW + null + ROW + b"\xff\xff")) == [ROW, null, ROW]
    assert list(rows_in(BEGIN + b"\xff\xff")) == []


@pytest.mark.parametrize(
    "stream", [b"", b"PGCOPY", BEGIN, BEGIN + ROW, BEGIN + ROW[:-3], BEGIN + ROW[:-3] + b"\xff\xff"]
)
def test_what_is_no_whole_stream_is_refused(stream: bytes) -> None:
    with pytest.raises(ValueError, match="COPY BINARY"):
        rows_in(stream)


def test_a_row_too_short_for_a_sequence_is_refused() -> None:
    with pytest.raises(ValueError, match="too short"):
        sequence_of(ROW[:-1])
