from uuid import UUID

import pytest

from lookup_core.domain.errors import InvalidRevisionToken
from lookup_core.domain.ids import Revision, StoreId
from lookup_core.domain.revision import open_token, seal

KEY = b"k" * 32
STORE = StoreId(UUID(int=7))
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


@pytest.mark.parametrize("revision", [0, 1, 2**40, 2**64 - 1])
def test_a_token_opens_to_what_was_sealed(revision):
    assert open_token(KEY, seal(KEY, STORE, Revision(revision))) == (STORE, revision)


def test_every_altered_character_is_refused():
    text = seal(KEY, STORE, Revision(12))
    for place in range(len(text)):
        for character in set(ALPHABET) - {text[place]}:
            with pytest.raises(InvalidRevisionToken):
                open_token(KEY, text[:place] + character + text[place + 1 :])


@pytest.mark.parametrize("text", ["", "x", "=" * 54, "é" * 54, "A" * 54, "A" * 10_000_000, "AA+/" + "A" * 50])
def test_what_was_never_sealed_is_refused(text):
    with pytest.raises(InvalidRevisionToken):
        open_token(KEY, text)


def test_another_key_does_not_open_it():
    with pytest.raises(InvalidRevisionToken) as refused:
        open_token(b"K" * 32, seal(KEY, STORE, Revision(1)))
    assert refused.value.field == "consistency.at_least"
