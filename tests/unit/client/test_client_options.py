"""Plaintext to this machine only; no call without a deadline; a key that cannot travel is refused; fork and loop."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import pytest

from nser_client import AsyncClient, Client, Decision, Misuse, Options, Outcome, Tls
from nser_client.options import REGISTRAR, is_loopback


@pytest.mark.parametrize(
    ("address", "loopback"),
    [
        ("127.0.0.1:50051", True),
        ("127.8.8.8:1", True),
        ("localhost:50051", True),
        ("[::1]:50051", True),
        ("unix:/run/nser.sock", True),
        ("10.0.0.1:50051", False),
        ("replica:50051", False),
        ("127.0.0.1.example.com:50051", False),
        ("localhost.example.com:1", False),
        ("dns:///127.0.0.1:50051", False),
        ("[2001:db8::1]:1", False),
    ],
)
def test_plaintext_is_for_this_machine(address: str, loopback: bool) -> None:
    assert is_loopback(address) is loopback
    options = Options(replicas=[address], registrar=address)
    assert (options.credentials(0) is None) is loopback
    assert (options.credentials(REGISTRAR) is None) is loopback
    assert Options(replicas=[address], insecure=True).credentials(0) is None
    assert Options(replicas=[address], tls=Tls()).credentials(0) is not None


@pytest.mark.parametrize(
    "wrong",
    [
        {"replicas": []},
        {"replicas": "127.0.0.1:50051"},
        {"api_key": "a b"},
        {"api_key": "a\n"},
        {"api_key": "x" * 257},
        {"api_key": "schlüssel"},
        {"tls": Tls(), "insecure": True},
        {"check_timeout_ms": 0},
    ],
)
def test_what_cannot_work_is_refused_at_once(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"\w+"):
        Client(**{"replicas": ["127.0.0.1:1"], **wrong})


def test_no_secret_is_shown() -> None:
    options = Options(replicas=["127.0.0.1:1"], api_key="nser_test_k_secret", tls=Tls(private_key=b"hidden"))
    assert "secret" not in repr(options)
    assert "hidden" not in repr(options)


def test_a_call_that_needs_the_registrar_says_so() -> None:
    with Client(replicas=["127.0.0.1:1"]) as client, pytest.raises(ValueError, match="registrar"):
        client.get("7c1b3c9e-0000-4000-8000-000000000001")


def test_a_channel_is_refused_after_a_fork(monkeypatch: pytest.MonkeyPatch) -> None:
    used, unused = (Client(replicas=["127.0.0.1:1"], check_timeout_ms=50) for _ in range(2))
    used.check(phone="0712345678")
    parent = os.getpid()
    monkeypatch.setattr(os, "getpid", lambda: parent + 1)
    with pytest.raises(Misuse, match="forked"):
        used.check(phone="0712345678")
    assert not unused.check(phone="0712345678").may_play
    unused.close()
    monkeypatch.undo()
    used.close()


async def test_the_asyncio_client_belongs_to_one_loop() -> None:
    async with AsyncClient(replicas=["127.0.0.1:1"], check_timeout_ms=50) as client:
        await client.check(phone="0712345678")
        with pytest.raises(Misuse, match="event loop"):
            await asyncio.to_thread(asyncio.run, client.check(phone="0712345678"))


@pytest.mark.parametrize("outcome", Outcome)
def test_may_play_is_for_not_excluded_alone(outcome: Outcome) -> None:
    decision = Decision(outcome)
    assert decision.may_play is (outcome is Outcome.NOT_EXCLUDED)
    with pytest.raises(TypeError, match="may_play"):
        bool(decision)
    with pytest.raises(AttributeError):
        decision.outcome = Outcome.NOT_EXCLUDED  # type: ignore[misc]
