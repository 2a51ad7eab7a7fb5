"""The questions of the SDK benchmark: the same every time, from the whole index, and with the answer that is right."""

from __future__ import annotations

from benchmarks.sdk_stream import QUESTIONS, questions
from lookup_core.cli.demo.people import people

PEOPLE = 500


def test_questions_are_repeatable_and_reach_the_whole_index() -> None:
    asked = questions(PEOPLE, by=("phone", "id_number"))
    assert len(asked) == QUESTIONS
    assert asked == questions(PEOPLE, by=("phone", "id_number"))
    assert asked != questions(PEOPLE, by=("phone", "id_number"), seed=2)
    assert len({question.phone for question in asked}) == PEOPLE


def test_a_question_names_its_person_and_the_answer_that_is_right() -> None:
    entered = {one.phone: one for one in people(PEOPLE, seed=1, excluded_share=0.05)}
    asked = questions(PEOPLE, by=("phone",))
    assert {question.id_number for question in asked} == {None}
    assert all(question.may_play is (entered[question.phone or ""].period is None) for question in asked)
    assert 0 < sum(not question.may_play for question in asked) < QUESTIONS / 5
