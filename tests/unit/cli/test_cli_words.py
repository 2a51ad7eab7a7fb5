"""The words that people type are the contract's, every one of them."""

from datetime import UTC, datetime

import pytest

from lookup_core.cli import words
from lookup_core.domain.document import DocumentType
from lookup_core.domain.period import Period
from nser.type.v1 import exclusion_pb2


@pytest.mark.parametrize("period", Period)
def test_every_period_has_its_value(period):
    assert words.word(exclusion_pb2.Period, words.period(period), "PERIOD_") == period


@pytest.mark.parametrize("channel", words.Channel)
def test_every_channel_has_its_value(channel):
    assert words.word(exclusion_pb2.Channel, words.channel(channel), "CHANNEL_") == channel


def test_no_channel_of_the_contract_is_without_a_word():
    assert len(words.Channel) == len(exclusion_pb2.Channel.keys()) - 1


@pytest.mark.parametrize("kind", DocumentType)
def test_every_document_has_its_type(kind):
    made = words.document("12345678", kind)
    assert made is not None
    assert made.type > 0


def test_no_number_is_no_document():
    assert words.document("", DocumentType.PASSPORT) is None


def test_a_value_of_a_newer_server_is_no_fault():
    assert words.word(exclusion_pb2.Period, 77, "PERIOD_") == "value_77"
    assert words.word(exclusion_pb2.Period, 0, "PERIOD_") == ""


def test_times_are_shown_in_kenya():
    assert words.in_kenya(datetime(2026, 11, 24, 11, 5, tzinfo=UTC)) == "24 Nov 2026, 14:05 EAT"
