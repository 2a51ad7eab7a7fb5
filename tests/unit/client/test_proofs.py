"""The SDK's own reading of notes, checkpoints and Merkle proofs, against the definitions and published vectors."""

from __future__ import annotations

import base64

import pytest

from nser_client import proofs
from nser_client.proofs import ProofRefused, VerifierKey
from tests.support.transparency_log import WITNESS, Log, Signer, tree_hash

LARGEST = 33
WITNESS_KEY = Signer("university.example/witness", WITNESS, b"\x21" * 32)
OTHER = Signer("register.example/audit", seed=b"\x66" * 32)

# The tree of the Certificate Transparency project's own tests.
CT_LEAVES = tuple(
    bytes.fromhex(leaf)
    for leaf in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
)
CT_ROOT = "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"

# The example of Go's package note (golang.org/x/mod/sumdb/note).
NEUMANN = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
NEUMANNS_NOTE = (
    "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n\n"
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)


def key(signer: Signer) -> VerifierKey:
    return VerifierKey.parse(signer.verifier_key)


@pytest.fixture(scope="module")
def log() -> Log:
    return Log().grow(LARGEST)


# -- Merkle proofs


def test_the_log_of_the_tests_has_the_root_that_others_publish() -> None:
    assert tree_hash(CT_LEAVES).hex() == CT_ROOT


def test_every_entry_of_every_size_leads_to_the_root(log: Log) -> None:
    for size in range(1, LARGEST + 1):
        root = tree_hash(log.entries[:size])
        for index in range(size):
            leaf = proofs.leaf_hash(log.entries[index])
            assert proofs.root_from_inclusion(leaf, index, size, log.inclusion(index, size)) == root


def test_no_other_place_or_size_fits_an_inclusion_path(log: Log) -> None:
    path = log.inclusion(11, 21)
    root = tree_hash(log.entries[:21])
    for size in range(1, LARGEST + 1):
        for index in range(size):
            try:
                led_to = proofs.root_from_inclusion(proofs.leaf_hash(log.entries[11]), index, size, path)
            except ProofRefused:
                continue
            # Shape and turns are those of the same path in a few near sizes; never for another index.
            assert led_to != root or index == 11


def test_every_size_is_consistent_with_every_later_one_and_nothing_else_is(log: Log) -> None:
    other = Log(entries=[*log.entries[:5], b"put in its place", *log.entries[6:]])
    for new in range(1, LARGEST + 1):
        for old in range(new + 1):
            path, roots = log.consistency(old, new), [tree_hash(log.entries[:size]) for size in (old, new)]
            proofs.check_consistency(old, roots[0], new, roots[1], path)
            if old > 5:
                with pytest.raises(ProofRefused):
                    proofs.check_consistency(old, tree_hash(other.entries[:old]), new, roots[1], path)
                with pytest.raises(ProofRefused):
                    proofs.check_consistency(old, roots[0], new, tree_hash(other.entries[:new]), path)


def test_a_consistency_path_with_a_step_changed_missing_or_added_is_refused(log: Log) -> None:
    old, new = 11, 29
    roots = tree_hash(log.entries[:old]), tree_hash(log.entries[:new])
    path = log.consistency(old, new)
    spoilt = [path[:-1], path[1:], [*path, path[0]], [path[0], *path]]
    spoilt += [[*path[:at], bytes(32), *path[at + 1 :]] for at in range(len(path))]
    for steps in [*spoilt, [], [path[0][:31], *path[1:]]]:
        with pytest.raises(ProofRefused):
            proofs.check_consistency(old, roots[0], new, roots[1], steps)


def test_a_log_that_went_back_or_forked_is_told_apart(log: Log) -> None:
    with pytest.raises(ProofRefused, match="went back from 9 entries to 8"):
        proofs.check_consistency(9, b"", 8, b"", [])
    with pytest.raises(ProofRefused, match="forked"):
        proofs.check_consistency(9, bytes(32), 9, bytes([1]) * 32, [])
    with pytest.raises(ProofRefused, match="must be empty"):
        proofs.check_consistency(0, b"", 9, tree_hash(log.entries[:9]), [bytes(32)])


# -- notes


def test_a_note_of_another_implementation_is_opened() -> None:
    opened = proofs.open_note(NEUMANNS_NOTE, VerifierKey.parse(NEUMANN))
    assert opened.text.startswith("If you think cryptography")
    assert [str(signer) for signer in opened.signers] == [NEUMANN]


def test_a_checkpoint_tells_size_root_and_who_has_seen_it(log: Log) -> None:
    note = log.checkpoint(20, WITNESS_KEY, Signer("stranger.example/w", WITNESS, b"\x99" * 32))
    opened = proofs.open_checkpoint(note, key(log.signer), key(WITNESS_KEY), quorum=1)
    assert (opened.origin, opened.size) == ("register.example/audit", 20)
    assert opened.root == tree_hash(log.entries[:20])
    assert opened.cosigned == {"university.example/witness": 1_760_000_000}
    proofs.check_inclusion(opened, log.entries[7], 7, log.inclusion(7, 20))
    with pytest.raises(ProofRefused, match="not the one at index 7"):
        proofs.check_inclusion(opened, b"another", 7, log.inclusion(7, 20))


def test_a_checkpoint_without_enough_witnesses_is_refused(log: Log) -> None:
    with pytest.raises(ProofRefused, match="0 of the witnesses given have cosigned it, and 1 must"):
        proofs.open_checkpoint(log.checkpoint(20), key(log.signer), key(WITNESS_KEY), quorum=1)


def test_a_checkpoint_that_only_the_witness_signed_is_refused(log: Log) -> None:
    note = log.text() + "\n" + WITNESS_KEY.line(log.text())
    with pytest.raises(ProofRefused, match=r"register\.example/audit has not signed"):
        proofs.open_checkpoint(note, key(log.signer), key(WITNESS_KEY))


@pytest.mark.parametrize("name", ["size", "root", "origin"])
def test_a_changed_checkpoint_is_refused(log: Log, name: str) -> None:
    origin, size, root, *rest = log.checkpoint(20).split("\n")
    changed = {
        "size": [origin, "19", root],
        "root": [origin, size, base64.b64encode(bytes(32)).decode()],
        "origin": ["register.example/other", size, root],
    }[name]
    with pytest.raises(ProofRefused, match="not over this text"):
        proofs.open_checkpoint("\n".join([*changed, *rest]), key(log.signer))


def test_a_key_of_the_same_name_is_not_the_log(log: Log) -> None:
    with pytest.raises(ProofRefused, match="None of the keys given"):
        proofs.open_checkpoint(log.checkpoint(20), key(OTHER))


def test_a_checkpoint_of_another_log_of_the_same_key_is_refused(log: Log) -> None:
    text = log.text().replace("register.example/audit", "register.example/lookups")
    with pytest.raises(ProofRefused, match=r"It is a checkpoint of register\.example/lookups"):
        proofs.open_checkpoint(f"{text}\n{log.signer.line(text)}", key(log.signer))


@pytest.mark.parametrize(
    ("note", "said"),
    [
        ("", "no signed note"),
        ("text\n", "no signed note"),
        ("text\n\nno signature\n", "is no signature"),
        ("text\n\n— name AAAA", "is no signature"),
        ("text\n\n— na+me AAAAAAAA\n", "plus sign"),
        ("text\n\n— name AAAA\n", "too short"),
        ("text\n\n— name ****\n", "base64 of a signature"),
        ("te\tt\n\n— name AAAAAAAA\n", "no signed note"),
        ("text\n\n" + "— name AAAAAAAA\n" * 101, "more than 100"),
    ],
    ids=["empty", "unsigned", "no-dash", "no-newline", "plus", "short", "base64", "control", "many"],
)
def test_what_is_no_note_is_refused_with_its_reason(note: str, said: str) -> None:
    with pytest.raises(ProofRefused, match=said):
        proofs.open_note(note, VerifierKey.parse(NEUMANN))


@pytest.mark.parametrize("size", ["01", "-1", "+1", "١", "", "9223372036854775808", "1e3", "1" * 5_000])
def test_a_size_that_is_no_plain_number_is_refused(log: Log, size: str) -> None:
    origin, _, root, _ = log.text().split("\n")
    with pytest.raises(ProofRefused, match=r"size of the checkpoint|three lines"):
        proofs.parse_checkpoint(f"{origin}\n{size}\n{root}\n")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (NEUMANN.replace("c74f20a3", "c74f20a4"), "does not match the key id"),
        (NEUMANN.replace("Peter", "Paul"), "does not match the key id"),
        ("name+00000000+AAAA", "none of Ed25519"),
        ("name+00000000+" + base64.b64encode(b"\x02" + bytes(32)).decode(), "none of Ed25519"),
        ("name", "none of Ed25519"),
        ("name+00000000+%", "base64 of the key"),
    ],
    ids=["key-id", "name", "short", "type", "empty", "base64"],
)
def test_a_key_that_is_not_one_is_refused(text: str, said: str) -> None:
    with pytest.raises(ProofRefused, match=said):
        VerifierKey.parse(text)
