"""Invented people: the same for a seed, unlike each other, and readable by the register's own rules."""

from datetime import date

from lookup_core.cli.demo.people import MOST_PEOPLE, county_name, people, person
from lookup_core.domain.birth import age_on
from lookup_core.domain.document import DocumentType, parse_document
from lookup_core.domain.phone import parse_phone


def test_a_person_is_the_same_every_time_and_in_any_order():
    assert list(people(50))[31] == person(31)
    assert list(people(10, first=20)) == list(people(30))[20:]


def test_another_seed_gives_other_people():
    one, two = ({each.phone for each in people(5_000, seed=seed)} for seed in (1, 2))
    assert len(one & two) < 50


def test_no_two_people_share_a_phone_or_a_document():
    made = list(people(20_000))
    assert len({each.phone for each in made}) == len({each.national_id for each in made}) == 20_000
    assert person(MOST_PEOPLE - 1).phone not in {each.phone for each in made}


def test_the_register_can_read_every_one_of_them():
    for each in people(3_000):
        assert parse_phone(each.phone).e164.startswith("+2547")
        assert len(parse_document(DocumentType.NATIONAL_ID, each.national_id).number) == 8
        assert 18 <= age_on(date(2026, 11, 25), each.date_of_birth) <= 72


def test_they_live_in_all_47_counties():
    made = list(people(20_000))
    assert {each.county for each in made} == set(range(1, 48))
    assert (county_name(1), county_name(47)) == ("Mombasa", "Nairobi")


def test_the_share_of_excluded_people_is_what_was_asked_for():
    made = list(people(20_000, excluded_share=0.05))
    assert 800 < sum(each.period is not None for each in made) < 1_200
    assert all(each.period is None for each in people(500, excluded_share=0))
    assert all(each.period is not None for each in people(500, excluded_share=1))
