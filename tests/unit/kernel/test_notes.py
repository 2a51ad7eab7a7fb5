"""Signed notes: the known answer of golang.org/x/mod/sumdb/note, what is refused, and what a checkpoint says."""

import base64

import pytest

from lookup_core.kernel import notes

# The example of the Go package that the specification was drawn from.
SEED = base64.b64decode("AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz")[1:]
KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
NOTE = (
    TEXT + "\n— PeterNeumann "
    "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)

LOG = notes.Signer("log.example/1", b"l" * 32)
OTHER = notes.Signer("log.example/1", b"o" * 32)
WITNESS = notes.Signer("witness.example", b"w" * 32)
COSIGNER = notes.Verifier("witness.example", WITNESS.verifier.public_key, notes.COSIGNATURE_V1)

NO_NOTES = {
    "nothing": "",
    "no end": "text",
    "no blank line": "text\n",
    "no signature": "text\n\n",
    "cut": "text\n\n— log",
    "another dash": "text\n\n- log aGVsbG8=\n",
    "control": "te\rxt\n\n— a aGVsbG8=\n",
    "too many": "text\n\n" + "— a aGVsbG8=\n" * 101,
    "too long": "x" * 1_000_001,
}
NO_CHECKPOINTS = {
    "empty": "",
    "origin alone": "log\n",
    "no root": "log\n7\n",
    "leading zero": "log\n07\n" + "A" * 43 + "=\n",
    "negative": "log\n-1\n" + "A" * 43 + "=\n",
    "no origin": "\n7\n" + "A" * 43 + "=\n",
    "short root": "log\n7\ncg==\n",
    "no end": "log\n7\n" + "A" * 43 + "=",
    "another spelling": "log\n7\n" + "A" * 42 + "B=\n",
    "empty extension": "log\n7\n" + "A" * 43 + "=\n\n",
}


def test_the_known_answer():
    signer = notes.Signer("PeterNeumann", SEED)
    assert signer.verifier.text == KEY
    assert notes.sign(TEXT, signer) == NOTE
    assert notes.open(NOTE, notes.Verifier.parse(KEY)) == TEXT


def test_a_note_of_several_signers_opens_for_each():
    note = notes.sign("text\n", LOG, WITNESS)
    assert notes.open(note, LOG.verifier) == notes.open(note, WITNESS.verifier, OTHER.verifier) == "text\n"


def test_a_note_by_somebody_else_is_refused():
    with pytest.raises(ValueError, match="no signature"):
        notes.open(notes.sign("text\n", OTHER), LOG.verifier)


def test_every_changed_character_is_refused():
    note = notes.sign("log.example/1\n7\n", LOG)
    for place in range(len(note)):
        altered = note[:place] + chr(ord(note[place]) ^ 1) + note[place + 1 :]
        with pytest.raises(ValueError, match=r".+"):
            notes.open(altered, LOG.verifier)


@pytest.mark.parametrize("note", NO_NOTES.values(), ids=NO_NOTES)
def test_what_is_not_a_note_is_refused(note):
    with pytest.raises(ValueError, match=r".+"):
        notes.open(note, LOG.verifier)


@pytest.mark.parametrize("text", ["", "no end", "a\tb\n"], ids=["empty", "no line feed", "control"])
def test_what_cannot_be_a_note_is_not_signed(text):
    with pytest.raises(ValueError, match="text"):
        notes.sign(text, LOG)


@pytest.mark.parametrize(
    "text",
    ["", "PeterNeumann", KEY[:-4], KEY.replace("c74f20a3", "c74f20a4"), KEY.replace("Peter", "Paul"), "a b" + KEY],
    ids=["nothing", "no key", "cut", "another id", "another name", "blank"],
)  # fmt: skip
def test_what_is_not_a_verifier_key_is_refused(text):
    with pytest.raises(ValueError, match=r".+"):
        notes.Verifier.parse(text)


def test_a_cosignature_says_when():
    note = notes.sign("log.example/1\n7\n", LOG)
    note += WITNESS.cosignature("log.example/1\n7\n", 1_700_000_000)
    assert notes.open(note, COSIGNER) == "log.example/1\n7\n"
    assert notes.cosigned_at(note, COSIGNER) == 1_700_000_000
    assert notes.cosigned_at(notes.sign("text\n", LOG), COSIGNER) is None
    assert notes.Verifier.parse(COSIGNER.text) == COSIGNER


def test_a_witness_that_only_signed_has_not_cosigned():
    with pytest.raises(ValueError, match="no signature"):
        notes.open(notes.sign("text\n", WITNESS), COSIGNER)


def test_a_checkpoint_is_read_as_written():
    text = notes.checkpoint_text("log.example/1", 7, b"r" * 32, "extension 1")
    assert text == "log.example/1\n7\n" + base64.b64encode(b"r" * 32).decode() + "\nextension 1\n"
    assert notes.parse_checkpoint(text) == notes.Checkpoint("log.example/1", 7, b"r" * 32, ("extension 1",))


@pytest.mark.parametrize("text", NO_CHECKPOINTS.values(), ids=NO_CHECKPOINTS)
def test_what_is_not_a_checkpoint_is_refused(text):
    with pytest.raises(ValueError, match=r".+"):
        notes.parse_checkpoint(text)


@pytest.mark.parametrize("origin", ["", "two\nlines"], ids=["empty", "two lines"])
def test_what_would_not_be_read_back_is_not_written(origin):
    with pytest.raises(ValueError, match="checkpoint"):
        notes.checkpoint_text(origin, 7, b"r" * 32)


def test_a_signer_does_not_print_its_seed():
    assert "l" * 8 not in repr(LOG)
