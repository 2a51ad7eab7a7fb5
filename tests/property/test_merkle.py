"""The Merkle tree: every proof holds, and no altered one does."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from lookup_core.domain import merkle

leaves = st.lists(st.binary(max_size=6), min_size=1, max_size=70)


def hashed(entries):
    return [merkle.leaf_hash(each) for each in entries]


def flipped(data, at):
    place, bit = divmod(at % (len(data) * 8), 8)
    return data[:place] + bytes([data[place] ^ 1 << bit]) + data[place + 1 :]


def by_the_definition(hashes):
    """RFC 6962, 2.1, word for word."""
    if not hashes:
        return merkle.EMPTY_ROOT
    if len(hashes) == 1:
        return hashes[0]
    split = 1
    while split * 2 < len(hashes):
        split *= 2
    return merkle.node_hash(by_the_definition(hashes[:split]), by_the_definition(hashes[split:]))


@given(st.lists(st.binary(max_size=6), max_size=70))
def test_a_root_is_that_of_the_definition(entries):
    assert merkle.root(hashed(entries)) == by_the_definition(hashed(entries))


@given(leaves, st.integers(0), st.integers(0))
def test_every_entry_is_proved_and_no_altered_proof_is_taken(entries, index, at):
    hashes, index = hashed(entries), index % len(entries)
    root, path = merkle.root(hashes), merkle.inclusion_path(hashes, index)
    assert merkle.root_from_inclusion(hashes[index], index, len(hashes), path) == root
    whole = b"".join((hashes[index], *path))
    altered = flipped(whole, at)
    pieces = [altered[i : i + 32] for i in range(0, len(altered), 32)]
    assert merkle.root_from_inclusion(pieces[0], index, len(hashes), pieces[1:]) != root


@given(leaves, st.integers(0), st.integers(0))
def test_a_proof_holds_for_its_own_place_only(entries, index, other):
    hashes = hashed(bytes([place]) + each for place, each in enumerate(entries))
    index, other = index % len(hashes), other % len(hashes)
    assume(index != other)
    path = merkle.inclusion_path(hashes, index)
    try:
        found = merkle.root_from_inclusion(hashes[index], other, len(hashes), path)
    except ValueError:
        return
    assert found != merkle.root(hashes)


@given(leaves, st.integers(0), st.sampled_from([-1, 1]))
def test_a_proof_of_another_length_is_refused(entries, index, by):
    hashes = hashed(entries)
    path = merkle.inclusion_path(hashes, index % len(hashes))
    assume(path or by > 0)
    longer = [*path, b"\0" * 32] if by > 0 else path[:-1]
    with pytest.raises(ValueError, match="shape"):
        merkle.root_from_inclusion(hashes[index % len(hashes)], index % len(hashes), len(hashes), longer)


@given(leaves, st.integers(0), st.integers(0))
def test_growth_is_proved_and_no_altered_proof_is_taken(entries, old_size, at):
    hashes = hashed(entries)
    old_size %= len(hashes) + 1
    old, new = merkle.root(hashes[:old_size]), merkle.root(hashes)
    path = merkle.consistency_path(hashes, old_size)
    merkle.check_consistency(old_size, old, len(hashes), new, path)
    whole = b"".join((old, new, *path)) if old_size else old
    altered = flipped(whole, at)
    pieces = [altered[i : i + 32] for i in range(0, len(altered), 32)]
    altered_new = pieces[1] if old_size else new
    with pytest.raises(ValueError, match="log"):
        merkle.check_consistency(old_size, pieces[0], len(hashes), altered_new, pieces[2:])


@given(leaves, st.integers(0), st.integers(0))
def test_a_log_whose_past_was_changed_cannot_prove_its_growth(entries, old_size, changed):
    hashes = hashed(entries)
    old_size = old_size % len(hashes) + 1
    old = merkle.root(hashes[:old_size])
    hashes[changed % old_size] = merkle.leaf_hash(b"something else" * 2)
    with pytest.raises(ValueError, match="log"):
        merkle.check_consistency(
            old_size, old, len(hashes), merkle.root(hashes), merkle.consistency_path(hashes, old_size)
        )


@given(leaves, st.integers(0))
def test_kept_hashes_prove_as_the_whole_log_does(entries, index):
    hashes = hashed(entries)
    index %= len(hashes)

    def hash_at(node):
        level, place = node
        return merkle.root(hashes[place << level : (place + 1) << level])

    ranges = merkle.inclusion_ranges(index, len(hashes))
    assert merkle.prove(ranges, hash_at) == merkle.inclusion_path(hashes, index)


@given(leaves, st.integers(0))
def test_a_tree_goes_on_from_its_subtrees_alone(entries, at):
    hashes = hashed(entries)
    before = merkle.Tree()
    for each in hashes[: at % len(hashes)]:
        before.append(each)
    after = merkle.Tree(before.size, list(before.subtrees))
    for each in hashes[at % len(hashes) :]:
        after.append(each)
    assert (after.size, after.root()) == (len(hashes), merkle.root(hashes))


@pytest.mark.parametrize(("old", "new"), [(3, 2), (-1, 2)])
def test_an_older_log_is_never_longer(old, new):
    with pytest.raises(ValueError, match="longer"):
        merkle.check_consistency(old, b"\0" * 32, new, b"\0" * 32, [])
