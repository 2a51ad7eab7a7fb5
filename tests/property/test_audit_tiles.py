"""Tiles and entries: what is kept proves as the whole log does, and an entry survives its bytes."""

from datetime import UTC, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookup_core.audit import tiles
from lookup_core.audit.tiles import Growing, Key
from lookup_core.domain import merkle
from lookup_core.domain.audit_entry import EPOCH, AuditEntry

LEAVES = [merkle.leaf_hash(number.to_bytes(4, "big")) for number in range(1_400)]
sizes = st.integers(1, len(LEAVES))
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
entries = st.builds(
    AuditEntry,
    salt=st.binary(min_size=16, max_size=16),
    at=st.datetimes(timezones=st.just(UTC)),
    revision=st.none() | st.integers(-(2**63), 2**63 - 1),
    request_id=st.none() | st.uuids(),
    actor=texts,
    action=texts,
    subject=texts,
    origin=texts,
    reason=texts,
    correlation_id=texts,
)


def grown(size):
    growing, full = Growing(), {}
    for leaf in LEAVES[:size]:
        for tile in growing.append(leaf):
            full[Key(tile.level, tile.tile)] = tile
    return growing, full


@given(sizes)
def test_the_edge_has_the_root_of_the_whole(size):
    growing, full = grown(size)
    assert growing.root() == merkle.root(LEAVES[:size])
    assert len(full) == size // 256 + size // 65_536
    above = [[full[key].root for key in level] for level in tiles.edge_keys(size)]
    assert above == growing.edges[1:]


@given(sizes, st.integers(0), st.integers(0))
def test_a_proof_from_tiles_is_that_from_the_whole(size, index, sealed):
    index, sealed = index % size, sealed % (size + 1)
    _, full = grown(sealed)
    nodes = [
        node for part in merkle.inclusion_ranges(index, size) for node in merkle.complete_subtrees(*part)
    ]
    needed = tiles.needs(nodes, sealed)
    kept = {key: full[key].hashes for key in needed.tiles}
    roots = {key: full[key].root for key in needed.roots if key in full}
    leaves = {number: LEAVES[number] for number in needed.leaves}
    if needed.roots <= full.keys():
        path = merkle.prove(
            merkle.inclusion_ranges(index, size), lambda node: tiles.hash_of(node, kept, roots, leaves)
        )
        assert path == merkle.inclusion_path(LEAVES[:size], index)


@given(entries)
def test_an_entry_survives_its_bytes(entry):
    assert AuditEntry.parse(entry.canonical()) == entry


@given(entries, entries)
def test_no_two_entries_have_the_same_bytes(one, other):
    assert (one.canonical() == other.canonical()) == (one == other)


@given(st.binary(max_size=200))
def test_bytes_that_are_no_entry_are_refused(raw):
    for altered in (raw, b"nser-audit-1\n" + raw):
        with pytest.raises(ValueError, match=r".+"):
            AuditEntry.parse(altered)


def test_the_known_answer():
    """What another verifier must make of the same entry."""
    entry = AuditEntry(
        *(bytes(range(16)), EPOCH + timedelta(microseconds=1), 7, UUID(int=1)),
        *("key a", "exclusion.created", "x", "ipv4:1", "", "č"),
    )
    assert entry.canonical().hex() == (
        "6e7365722d61756469742d310a"
        "00000010000102030405060708090a0b0c0d0e0f"
        "000000080000000000000001"
        "000000080000000000000007"
        "0000001000000000000000000000000000000001"
        "000000056b65792061"
        "000000116578636c7573696f6e2e63726561746564"
        "0000000178"
        "00000006697076343a31"
        "00000000"
        "00000002c48d"
    )
