from datetime import date

import pytest

from lookup_core.domain.errors import SENT, InvalidIdentity, NotReleasable, PeriodNotLonger

SECRET_NUMBER = "0150123456"


def refused_for(sent):
    return InvalidIdentity("phone", f"The phone number {SENT} is wrong.", sent=sent)


def test_what_was_sent_is_in_the_message_and_nowhere_else():
    error = refused_for(SECRET_NUMBER)
    assert error.message == "The phone number 0150123456 is wrong."
    assert str(error) == "The phone number [pii] is wrong."
    assert SECRET_NUMBER not in f"{error!r}{error.args}"


def test_the_form_for_logs_is_reason_and_field():
    assert refused_for(SECRET_NUMBER).log_safe == "INVALID_IDENTITY(phone)"
    assert NotReleasable("a rule").log_safe == "NOT_RELEASABLE"


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("x" * 10_000_000, "x" * 32 + "…"),
        ("a\r\nb\x00", "a\ufffd\ufffdb\ufffd"),
        ("\ud800", "\ufffd"),
        ("", "(empty)"),
        ("   ", "(empty)"),
        (SENT, SENT),
    ],
)
def test_an_echo_is_short_and_printable(sent, shown):
    message = refused_for(sent).message
    assert message == f"The phone number {shown} is wrong."
    message.encode()


def test_a_date_from_which_it_is_possible_is_told():
    error = NotReleasable("its period must be over first", date(2027, 3, 9))
    assert "from 09 March 2027 on" in error.message
    assert error.details == {"first_date": "2027-03-09"}


def test_what_is_in_force_is_told():
    assert "runs until 09 March 2027" in PeriodNotLonger(date(2027, 3, 9)).message
    assert "is permanent" in PeriodNotLonger(None).message


def test_details_cannot_be_changed_afterwards():
    error = NotReleasable("a rule", date(2027, 3, 9))
    with pytest.raises(TypeError):
        error.details["first_date"] = "never"
