"""What `nser check` makes of an answer: only a live NOT_EXCLUDED is exit code 0."""

import json

import pytest

from lookup_core.cli import check as checking
from lookup_core.cli.exits import CommandFailed, ExitCode
from nser.lookup.v1 import lookup_pb2 as pb

STALE = pb.Answer(outcome=pb.OUTCOME_INDETERMINATE, reason=pb.INDETERMINATE_REASON_REGISTER_STALE)
CLEAR = pb.Answer(outcome=pb.OUTCOME_NOT_EXCLUDED, revision="r1")
EXCLUDED = pb.Answer(outcome=pb.OUTCOME_EXCLUDED, basis=pb.BASIS_PHONE_CONFLICT, bst="BST-02-X")
UNREADABLE = pb.Answer(
    outcome=pb.OUTCOME_INDETERMINATE,
    reason=pb.INDETERMINATE_REASON_TOKEN_UNKNOWN,
)
UNAVAILABLE = CommandFailed("away", code=ExitCode.UNAVAILABLE)


@pytest.fixture
def replicas(monkeypatch):
    """Replicas by address, each with the answer it gives or the failure it raises."""

    def stand_in(**answers):
        def ask(address, _request):
            given = answers[address]
            if isinstance(given, Exception):
                raise given
            return given

        monkeypatch.setattr(checking, "replicas", lambda: list(answers))
        monkeypatch.setattr(checking, "_ask", ask)

    return stand_in


@pytest.mark.parametrize(
    ("answer", "code", "said"),
    [
        (CLEAR, 0, "May play"),
        (EXCLUDED, 10, "Must not play: excluded"),
        (UNREADABLE, 11, "cannot tell now (TOKEN_UNKNOWN)"),
        (pb.Answer(), 10, "Must not play"),
        (pb.Answer(outcome=9), 10, "Must not play"),
    ],
)
def test_only_a_clear_answer_lets_play(nser, replicas, answer, code, said):
    replicas(one=answer)
    result = nser("check", "0712345678")
    assert (result.exit_code, said in result.stdout) == (code, True)


def test_a_stale_replica_is_not_the_last_word(nser, replicas):
    replicas(one=STALE, two=CLEAR, three=EXCLUDED)
    assert nser("check", "0712345678").exit_code == 0


def test_a_replica_that_is_away_is_not_the_last_word(nser, replicas):
    replicas(one=UNAVAILABLE, two=EXCLUDED)
    assert nser("check", "0712345678").exit_code == 10


def test_two_that_cannot_tell_are_indeterminate(nser, replicas):
    replicas(one=STALE, two=UNAVAILABLE)
    assert nser("check", "0712345678").exit_code == 11


def test_a_refusal_is_not_taken_to_another_replica(nser, replicas):
    replicas(one=CommandFailed("no", code=ExitCode.NOT_PERMITTED), two=CLEAR)
    assert nser("check", "0712345678").exit_code == 5


@pytest.mark.parametrize(
    ("answers", "code"),
    [
        ({"one": CLEAR, "two": CLEAR}, 0),
        ({"one": CLEAR, "two": STALE}, 11),
        ({"one": STALE, "two": EXCLUDED, "three": CLEAR}, 10),
    ],
)
def test_asked_everywhere_the_strictest_answer_counts(nser, replicas, answers, code):
    replicas(**answers)
    result = nser("check", "0712345678", "--everywhere", "--json")
    assert result.exit_code == code
    assert [each["replica"] for each in json.loads(result.stdout)["answers"]] == list(answers)


def test_json_has_the_words_of_the_contract(nser, replicas):
    replicas(one=EXCLUDED)
    told = json.loads(nser("check", "0712345678", "--json").stdout)
    assert (told["outcome"], told["basis"], told["may_play"]) == ("EXCLUDED", "PHONE_CONFLICT", False)
    assert (told["risk_level"], told["bst"], told["reason"]) == ("unknown", "BST-02-X", None)
