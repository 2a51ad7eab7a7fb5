import secrets

import pytest

from lookup_core.kernel.key_strength import weakness, weaknesses
from lookup_core.kernel.keyring import KeyRing


@pytest.mark.parametrize(
    ("key", "said"),
    [
        (bytes(32), "all zeros"),
        (b"\xff" * 32, "repeats"),
        (b"\x01\x02" * 16, "repeats"),
        (secrets.token_bytes(16) * 2, "repeats"),
        (bytes(range(32)), "counts"),
        (bytes(range(64, 0, -2)), "counts"),
        (bytes(31) + b"\x01", "only 2 distinct bytes"),
        (secrets.token_bytes(8) + bytes(24), "distinct bytes"),
        (b"correct-horse-battery-staple-123", "is a text"),
        (secrets.token_bytes(31), "31 bytes and must have 32"),
        (b"", "0 bytes"),
    ],
    ids=lambda value: value if isinstance(value, str) else "key",  # the same in every process of a run
)
def test_what_no_random_source_makes_is_weak(key, said):
    assert said in weakness(key)


def test_random_keys_are_not():
    assert [each for _ in range(2_000) if (each := weakness(secrets.token_bytes(32)))] == []


def test_every_weak_key_is_named_and_so_is_one_that_serves_two_purposes():
    key = secrets.token_bytes(32)
    found = weaknesses([("feed", key), ("webhook version 2", bytes(32)), ("pepper", key)])
    assert found == [
        "The key webhook version 2 is all zeros.",
        "The keys feed and pepper are the same one.",
    ]


def test_a_new_ring_is_strong():
    assert weaknesses(KeyRing.create().with_new_kek().with_new("bst_salt").named()) == []
