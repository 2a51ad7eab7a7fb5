import re

import pytest

from lookup_core.kernel.apikey import issue, mac, matches, parse
from lookup_core.kernel.errors import CredentialsInvalid

PEPPER = b"p" * 32


def test_a_key_has_the_form_that_the_contract_gives():
    key_id, text = issue("demo")
    assert re.fullmatch(rf"nser_demo_{key_id}_[a-z2-7]{{52}}_[0-9a-f]{{8}}", text)
    assert len(key_id) <= 32
    assert parse(text) == key_id


def test_no_two_keys_are_alike():
    keys = {issue("live") for _ in range(200)}
    assert len({key.key_id for key in keys}) == len({key.secret for key in keys}) == 200


def test_every_single_character_error_is_caught_without_asking_the_register():
    _, text = issue("live")
    for place in range(len(text)):
        for character in set("abz27_09") - {text[place]}:
            with pytest.raises(CredentialsInvalid):
                parse(text[:place] + character + text[place + 1 :])


def test_every_swap_of_two_neighbours_is_caught():
    _, text = issue("live")
    for place in range(len(text) - 1):
        swapped = text[:place] + text[place + 1] + text[place] + text[place + 2 :]
        if swapped != text:
            with pytest.raises(CredentialsInvalid):
                parse(swapped)


@pytest.mark.parametrize(
    "text", ["", "nser", "nser_live", "Bearer x", "nser_live_a_b_c", "é" * 50, "\x00", "x" * 10_000_000]
)
def test_what_is_no_key_is_refused(text):
    with pytest.raises(CredentialsInvalid):
        parse(text)


def test_upper_case_and_padding_are_refused():
    _, text = issue("live")
    for wrong in (text.upper(), f" {text}", f"{text}\n", text[:-1]):
        with pytest.raises(CredentialsInvalid):
            parse(wrong)


def test_only_the_key_itself_matches_what_is_stored():
    _, text = issue("live")
    stored = mac(PEPPER, text)
    assert len(stored) == 32
    assert matches(stored, PEPPER, text)
    assert not matches(stored, PEPPER, issue("live").secret)
    assert not matches(stored, b"P" * 32, text)


def test_an_unknown_id_matches_nothing():
    assert not matches(None, PEPPER, issue("live").secret)


@pytest.mark.parametrize("environment", ["", "x", "Live", "live_1", "toolongname", "é"])
def test_an_environment_is_a_short_word(environment):
    with pytest.raises(ValueError, match=r"lower-case letters|ascii"):
        issue(environment)


def test_a_new_key_does_not_show_itself():
    assert repr(issue("live")) == "[secret]"
