"""The bridge's parts by themselves: statuses, field names, correlation ids, settings, the resting minter."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest

from lookup_core.kernel import errors as kernel
from nser_bridge import logs, settings
from nser_bridge.minting import REST_S, Minter
from nser_bridge.problems import http_status, problem_of, rest_field
from nser_bridge.reading import correlation_id, printable
from nser_bridge.settings import SettingsRefused
from nser_client import Subject, errors
from nser_client.errors import BY_REASON
from nser_client.statuses import of_reason


@pytest.mark.parametrize("reason", kernel.REASONS)
def test_rest_gives_the_status_of_the_servers_own_table(reason: str) -> None:
    assert http_status(of_reason(reason, "said")) == kernel.REASONS[reason].http


@pytest.mark.parametrize("reason", BY_REASON)
def test_every_reason_has_a_problem(reason: str) -> None:
    problem = problem_of(BY_REASON[reason]("said"))
    told = json.loads(problem.body("https://docs/errors#", "abc"))
    assert told["type"] == f"https://docs/errors#{reason.lower().replace('_', '-')}"
    assert ("Retry-After" in problem.all_headers()) is (told["status"] in (429, 503))


def test_retry_after_is_whole_seconds_rounded_up() -> None:
    for given_ms, said in ((1, "1"), (1_000, "1"), (1_001, "2"), (None, "1")):
        problem = problem_of(errors.ReplicaLoading("x", retry_after_ms=given_ms))
        assert problem.all_headers()["Retry-After"] == said


@pytest.mark.parametrize(
    ("grpc", "rest"),
    [
        ("phone", "phone"),
        ("subject.phone", "phone"),
        ("subject.document.number", "id_number"),
        ("document.type", "id_type"),
        ("document", "id_number"),
        ("subjects[3].document.number", "users[3].id_number"),
        ("subjects", "users"),
        ("from_date", "from"),
        ("purpose", "check_type"),
        (None, None),
        ("", None),
    ],
)
def test_fields_have_their_rest_names(grpc: str | None, rest: str | None) -> None:
    assert rest_field(grpc) == rest


@pytest.mark.parametrize(
    "sent", ["", None, "0712345678", "tel:+254712345678", "id-12345678", "x" * 65, "a\r\nb", "ä"]
)
def test_what_is_no_correlation_id_is_replaced(sent: str | None) -> None:
    assert correlation_id(sent) != sent
    assert len(correlation_id(sent)) == 32


@pytest.mark.parametrize("sent", ["a", "req-1.2:3_4", "7c1b3c9e-0000-4000-8000-123456789012", "1" * 32])
def test_a_correlation_id_is_kept(sent: str) -> None:
    assert correlation_id(sent) == sent


def test_what_is_repeated_is_short_and_printable() -> None:
    assert printable("a\x00\u202eb") == "a\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}b"
    assert len(printable("x" * 1_000)) == 41


def test_addresses_follow_the_port_offset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NSER_PORT_OFFSET", "100")
    loaded = settings.load()
    assert (loaded.address, loaded.metrics_address) == ("127.0.0.1:8180", "127.0.0.1:9203")
    assert (loaded.replicas, loaded.registrar_address) == (["127.0.0.1:50151"], "127.0.0.1:50152")
    monkeypatch.setenv("NSER_REPLICA_ADDRESSES", "a:1, b:2")
    assert settings.load().replicas == ["a:1", "b:2"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("NSER_BRIDGE_ADDRESS", "nowhere"),
        ("NSER_REPLICA_ADDRESSES", "a:1,b"),
        ("NSER_REGISTRAR_ADDRESS", "a:99999"),
        ("NSER_BRIDGE_CHECK_TIMEOUT_MS", "0"),
        ("NSER_BRIDGE_TLS_ROOTS_FILE", "/nowhere/ca.pem"),
        ("NSER_LOG_LEVEL", "LOUD"),
    ],
)
def test_a_wrong_setting_is_refused_by_its_name(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsRefused) as caught:
        settings.load()
    assert [problem.partition(":")[0] for problem in caught.value.problems] == [name]


async def test_a_registrar_that_is_away_is_left_alone_for_a_while() -> None:
    at, calls = 0.0, 0
    counted: list[str] = []

    async def generate(_key: str, _subject: Subject) -> str | None:
        nonlocal calls
        calls += 1
        raise errors.Unreachable("away")

    minter = Minter(generate, timeout_s=5, now=lambda: at, counted=counted.append)
    for _ in range(5):
        assert await minter.token_for("key", Subject(phone="0712345678")) is None
    assert (calls, counted) == (1, ["unavailable", *["rested"] * 4])
    at = REST_S
    assert await minter.token_for("key", Subject(phone="0712345678")) is None
    assert calls == 2


@pytest.fixture
def _root_logger_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level


@pytest.mark.usefixtures("_root_logger_as_it_was")
def test_a_library_s_exception_is_logged_without_its_text(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("INFO")
    try:
        raise ValueError("0712345678")
    except ValueError:
        logging.getLogger("a.library").exception("it failed")
    written = capsys.readouterr().out
    assert json.loads(written)["error"] == "ValueError"
    assert "0712345678" not in written
