from __future__ import annotations

import threading
from http import HTTPStatus
from pathlib import Path

import pytest

from nser_sandbox.refusal import SetupRefused
from nser_sandbox.witness.consistency import is_consistent
from nser_sandbox.witness.notes import LogKey, Malformed, WitnessKey
from nser_sandbox.witness.state import StateFolder, folder_name
from nser_sandbox.witness.witness import SIZE_TYPE, Answer, Witness
from tests.support.broken_witness import DecidesOutOfTurn
from tests.support.transparency_log import LOG, WITNESS, Log, Signer, b64, tree_hash

ME = Signer("university.example/witness", WITNESS, b"\x21" * 32)
NOW = 1_764_000_000


def submission(log: Log, old: int, new: int | None = None, **other: str) -> bytes:
    """What a log sends; `note` or `proof` may be another."""
    proof = other.get("proof", "".join(f"{b64(each)}\n" for each in log.consistency(old, new)))
    return f"old {old}\n{proof}\n{other.get('note', log.checkpoint(new))}".encode()


class Clock:
    def __init__(self) -> None:
        self.now = float(NOW)

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def log() -> Log:
    return Log().grow(40)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def state(tmp_path: Path):
    folder = StateFolder(tmp_path / "state")
    yield folder
    folder.close()


@pytest.fixture
def witness(log: Log, state: StateFolder, clock: Clock) -> Witness:
    return Witness(WitnessKey(ME.name, ME.seed), [LogKey.parse(log.signer.verifier_key)], state, clock)


def cosigned(witness: Witness, log: Log, *sizes: int) -> Answer:
    """The answer to the last of `sizes`, each submitted after the one before."""
    for old, new in zip((0, *sizes), sizes, strict=False):
        answer = witness.add_checkpoint(submission(log, old, new))
        assert answer.status == HTTPStatus.OK, answer
    return answer


# -- what it cosigns


def test_the_consistency_of_every_two_sizes_is_seen_and_of_nothing_else(log: Log) -> None:
    roots = [tree_hash(log.entries[:size]) for size in range(34)]
    for new in range(1, 34):
        for old in range(1, new + 1):
            proof = log.consistency(old, new)
            assert is_consistent((old, roots[old]), (new, roots[new]), proof)
            assert not is_consistent((old, bytes(32)), (new, roots[new]), proof)
            assert not is_consistent((old, roots[old]), (new, bytes(32)), proof)
            assert not is_consistent((old, roots[old]), (new, roots[new]), [*proof, bytes(32)])
            if proof:
                assert not is_consistent((old, roots[old]), (new, roots[new]), proof[1:])
                assert not is_consistent((old, roots[old]), (new, roots[new]), [bytes(32), *proof[1:]])


def test_it_signs_text_and_time_as_the_specification_says(witness: Witness, log: Log) -> None:
    assert cosigned(witness, log, 7, 33).body == ME.line(log.text(33), time=NOW)
    assert witness.newest(folder_name(log.signer.name)) == log.checkpoint(33) + ME.line(
        log.text(33), time=NOW
    )


def test_a_log_that_has_not_grown_is_cosigned_again_with_the_time(
    witness: Witness, log: Log, clock: Clock
) -> None:
    cosigned(witness, log, 7)
    clock.now += 60
    assert witness.add_checkpoint(submission(log, 7, 7)).body == ME.line(log.text(7), time=NOW + 60)


def test_a_clock_put_back_dates_nothing_before_what_was_cosigned(
    witness: Witness, log: Log, clock: Clock
) -> None:
    cosigned(witness, log, 7)
    clock.now -= 3_600
    assert witness.add_checkpoint(submission(log, 7, 9)).body == ME.line(log.text(9), time=NOW)


def test_an_empty_log_is_cosigned_and_grows(witness: Witness, log: Log) -> None:
    assert witness.add_checkpoint(submission(log, 0, 0)).status == HTTPStatus.OK
    assert witness.add_checkpoint(submission(log, 0, 3)).status == HTTPStatus.OK


def test_signatures_of_others_are_passed_over_and_not_kept(witness: Witness, log: Log) -> None:
    stranger = Signer("stranger.example/w", WITNESS, b"\x42" * 32)
    same_name = Signer(log.signer.name, LOG, b"\x43" * 32)
    note = log.checkpoint(7, stranger, same_name)
    assert witness.add_checkpoint(submission(log, 0, 7, note=note)).status == HTTPStatus.OK
    assert stranger.name not in (witness.newest(folder_name(log.signer.name)) or "")


def test_each_log_has_a_state_of_its_own(state: StateFolder, clock: Clock, log: Log) -> None:
    other = Log(Signer("register.example/lookups", seed=b"\x31" * 32)).grow(9, "segment")
    keys = [LogKey.parse(each.signer.verifier_key) for each in (log, other)]
    witness = Witness(WitnessKey(ME.name, ME.seed), keys, state, clock)
    cosigned(witness, log, 30)
    cosigned(witness, other, 9)
    assert [(each["origin"], each["size"]) for each in witness.status()] == [
        ("register.example/audit", 30),
        ("register.example/lookups", 9),
    ]


def test_a_new_key_of_a_log_is_trusted_beside_the_old_one(state: StateFolder, clock: Clock, log: Log) -> None:
    renewed = Log(Signer(log.signer.name, LOG, b"\x55" * 32), log.entries)
    keys = [LogKey.parse(each.signer.verifier_key) for each in (log, renewed)]
    witness = Witness(WitnessKey(ME.name, ME.seed), keys, state, clock)
    cosigned(witness, log, 30)
    assert witness.add_checkpoint(submission(renewed, 30, 35)).status == HTTPStatus.OK


# -- what it refuses


def test_an_old_size_that_is_not_ours_is_told_ours(witness: Witness, log: Log) -> None:
    cosigned(witness, log, 12)
    for old in (0, 7, 13, 20):
        answer = witness.add_checkpoint(submission(log, old, 33))
        assert (answer.status, answer.body, answer.content_type) == (HTTPStatus.CONFLICT, "12\n", SIZE_TYPE)


def test_an_older_checkpoint_is_refused_and_so_a_restored_backup_is_found_out(
    witness: Witness, log: Log
) -> None:
    cosigned(witness, log, 12, 33)
    answer = witness.add_checkpoint(submission(log, 12, 20))
    assert (answer.status, answer.body) == (HTTPStatus.CONFLICT, "33\n")
    assert witness.add_checkpoint(submission(log, 33, 33)).status == HTTPStatus.OK


def test_a_log_that_went_back_and_on_with_other_entries_is_refused(witness: Witness, log: Log) -> None:
    cosigned(witness, log, 20)
    rewritten = Log(log.signer, log.entries[:15]).grow(15, "another")
    answer = witness.add_checkpoint(submission(rewritten, 20, 30))
    assert answer.status == HTTPStatus.UNPROCESSABLE_ENTITY
    assert "does not show that the tree of 30 entries begins with that of 20" in answer.body


def test_two_trees_of_one_size_are_a_fork_and_both_notes_are_kept_against_the_log(
    witness: Witness, log: Log, tmp_path: Path
) -> None:
    cosigned(witness, log, 20)
    forked = Log(log.signer, log.entries[:19]).grow(1, "another")
    for _ in range(2):
        answer = witness.add_checkpoint(submission(forked, 20, 20))
        assert (answer.status, answer.body, answer.content_type) == (HTTPStatus.CONFLICT, "20\n", SIZE_TYPE)
    (evidence,) = (tmp_path / "state").glob("*/forks/*")
    kept = evidence.read_text()
    assert log.checkpoint(20) in kept
    assert forked.checkpoint(20) in kept


def test_a_proof_that_is_wrong_short_or_of_other_sizes_is_refused(witness: Witness, log: Log) -> None:
    cosigned(witness, log, 11)
    good = [f"{b64(each)}\n" for each in log.consistency(11, 29)]
    for spoilt in (good[:-1], good[1:], [*good, good[0]], [f"{b64(bytes(32))}\n", *good[1:]], []):
        answer = witness.add_checkpoint(submission(log, 11, 29, proof="".join(spoilt)))
        assert answer.status == HTTPStatus.UNPROCESSABLE_ENTITY


def test_a_proof_from_nothing_must_be_empty(witness: Witness, log: Log) -> None:
    answer = witness.add_checkpoint(submission(log, 0, 9, proof=f"{b64(bytes(32))}\n"))
    assert answer.status == HTTPStatus.UNPROCESSABLE_ENTITY


def test_a_log_nobody_told_us_of_is_unknown(witness: Witness) -> None:
    other = Log(Signer("elsewhere.example/log")).grow(3)
    assert witness.add_checkpoint(submission(other, 0, 3)).status == HTTPStatus.NOT_FOUND
    assert witness.newest(folder_name("elsewhere.example/log")) is None


@pytest.mark.parametrize("how", ["another key", "another text", "no signature of ours"])
def test_what_the_log_has_not_signed_is_forbidden(witness: Witness, log: Log, how: str) -> None:
    impostor = Signer(log.signer.name, LOG, b"\x77" * 32)
    note = {
        "another key": f"{log.text(9)}\n{impostor.line(log.text(9))}",
        "another text": f"{log.text(9)}\n{log.signer.line(log.text(8))}",
        "no signature of ours": f"{log.text(9)}\n{ME.line(log.text(9))}",
    }[how]
    answer = witness.add_checkpoint(submission(log, 0, 9, note=note))
    assert answer.status == HTTPStatus.FORBIDDEN
    assert witness.status()[0]["size"] == 0


NOTE = Log().grow(9).checkpoint()


MALFORMED = [
    (b"", "no empty line between the proof and the checkpoint"),
    (b"\xff\xfe", "not UTF-8"),
    (b"old 0\n", "no empty line between the proof"),
    (f"new 0\n\n{NOTE}".encode(), "first line is not `old` and a size"),
    (f"\n\n{NOTE}".encode(), "first line is not `old` and a size"),
    (f"old 00\n\n{NOTE}".encode(), "old size is not a plain decimal"),
    (f"old  0\n\n{NOTE}".encode(), "old size is not a plain decimal"),
    (f"old -1\n\n{NOTE}".encode(), "old size is not a plain decimal"),
    (f"old 0\r\n\n{NOTE}".encode(), "old size is not a plain decimal"),
    (f"old {2**63}\n\n{NOTE}".encode(), "old size is not a plain decimal"),
    (f"old 10\n\n{NOTE}".encode(), "old size is larger than the checkpoint's"),
    (f"old 1\nAAAA\n\n{NOTE}".encode(), "hash 1 of the proof is not a hash of 32 bytes"),
    (f"old 1\n{'A' * 43}=\nx\n\n{NOTE}".encode(), "base64 of hash 2 of the proof"),
    (f"old 1\n{'A' * 42}B=\n\n{NOTE}".encode(), "base64 of hash 1 of the proof"),
    (("old 1\n" + f"{'A' * 43}=\n" * 64 + f"\n{NOTE}").encode(), "more than 63 hashes"),
    (b"old 0\n\ntext\n", "no empty line before its signatures"),
    (f"old 0\n\n{NOTE[:-1]}".encode(), "does not end in a newline"),
    (f"old 0\n\n{NOTE}\nmore\n".encode(), "no signature line"),
    (f"old 0\n\n{NOTE.replace('—', '-')}".encode(), "no signature line"),
    (f"old 0\n\n{NOTE}— a+b AAAAAAAA\n".encode(), "no signature line"),
    (f"old 0\n\n{NOTE}— a AAAA\n".encode(), "signature is too short"),
    (f"old 0\n\n{NOTE}— a ?\n".encode(), "base64 of a signature"),
    (("old 0\n\n" + NOTE + "— a AAAAAAAA\n" * 100).encode(), "more than 100 signatures"),
    (f"old 0\n\n{NOTE}".replace("/audit\n", "/audit\t\n").encode(), "control character"),
    (
        f"old 0\n\norigin\n9\n\n{NOTE.rpartition(chr(10) * 2)[2]}".encode(),
        "three lines origin, size and root",
    ),
    (f"old 0\n\n{NOTE.replace(chr(10) + '9', chr(10) + '09')}".encode(), "the checkpoint's size is not"),
    (f"old 0\n\no\n9\nAAAA\n\n{NOTE.rpartition(chr(10) * 2)[2]}".encode(), "the root is not a hash"),
]


@pytest.mark.parametrize(("body", "said"), MALFORMED, ids=[said for _, said in MALFORMED])
def test_a_malformed_body_is_refused_by_the_part_that_is_wrong(
    witness: Witness, body: bytes, said: str
) -> None:
    answer = witness.add_checkpoint(body)
    assert answer.status == HTTPStatus.BAD_REQUEST
    assert answer.body.startswith("Malformed: ")
    assert said in answer.body


# -- its state


@pytest.mark.parametrize(
    "kind", [Witness, pytest.param(DecidesOutOfTurn, marks=pytest.mark.breaks, id="out-of-turn")]
)
def test_an_older_tree_that_was_checked_earlier_is_never_kept_over_a_newer_one(
    kind: type[Witness], log: Log, tmp_path: Path, clock: Clock
) -> None:
    reached, go_on = threading.Event(), threading.Event()

    class Slow(StateFolder):
        def keep(self, origin: str, note: str) -> None:
            if "\n7\n" in note:
                reached.set()
                # In turn, nobody else gets here meanwhile, and the wait ends by itself.
                go_on.wait(1)
            super().keep(origin, note)

    state = Slow(tmp_path / "state")
    witness = kind(WitnessKey(ME.name, ME.seed), [LogKey.parse(log.signer.verifier_key)], state, clock)
    answers: dict[int, Answer] = {}

    def submit(size: int) -> None:
        answers[size] = witness.add_checkpoint(submission(log, 0, size))
        go_on.set()

    first = threading.Thread(target=submit, args=(7,))
    first.start()
    assert reached.wait(10)
    submit(33)
    first.join()
    state.close()
    told = [size for size, answer in answers.items() if answer.status == HTTPStatus.OK]
    rolled_back = witness.status()[0]["size"] < max(told)
    assert rolled_back is (kind is DecidesOutOfTurn)


def test_a_second_witness_on_the_same_state_does_not_start(state: StateFolder, tmp_path: Path) -> None:
    with pytest.raises(SetupRefused, match="Another witness runs"):
        StateFolder(tmp_path / "state")


def test_what_cannot_be_kept_is_not_told(
    witness: Witness, log: Log, state: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    cosigned(witness, log, 7)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(state, "keep", full)
        with pytest.raises(OSError, match="No space"):
            witness.add_checkpoint(submission(log, 7, 9))
    assert witness.status()[0]["size"] == 7
    assert witness.add_checkpoint(submission(log, 7, 11)).status == HTTPStatus.OK


@pytest.mark.parametrize("damage", [b"", b"\xff", b"register.example/audit\n7\n", "other"])
def test_a_damaged_state_is_refused_and_not_begun_anew(
    witness: Witness, log: Log, state: StateFolder, clock: Clock, tmp_path: Path, damage: bytes | str
) -> None:
    cosigned(witness, log, 7)
    (kept,) = (tmp_path / "state").glob("*/newest")
    if isinstance(damage, str):
        damage = kept.read_bytes().replace(b"register.example/audit\n", b"register.example/lookup\n")
    kept.write_bytes(damage)
    with pytest.raises(SetupRefused, match=r"cannot be read|is damaged"):
        Witness(WitnessKey(ME.name, ME.seed), [LogKey.parse(log.signer.verifier_key)], state, clock)


# -- keys


def test_a_witness_key_is_read_back_and_shows_its_secret_in_no_other_text() -> None:
    key = WitnessKey.create("university.example/witness")
    assert WitnessKey.parse(key.secret_text) == key
    assert b64(key.seed) not in repr(key) + str(key) + key.verifier_key
    assert WitnessKey(ME.name, ME.seed).verifier_key == ME.verifier_key


@pytest.mark.parametrize("text", ["", "PRIVATE+KEY+a", "PRIVATE+KEY+a+00000000+AAAA", ME.verifier_key])
def test_what_is_no_witness_key_is_refused(text: str) -> None:
    with pytest.raises(Malformed):
        WitnessKey.parse(text)


@pytest.mark.parametrize("text", ["", "name", "name+00000000+AAAA", ME.verifier_key, "a b+00+AAAA"])
def test_what_is_no_log_key_is_refused(text: str) -> None:
    with pytest.raises(Malformed):
        LogKey.parse(text)
