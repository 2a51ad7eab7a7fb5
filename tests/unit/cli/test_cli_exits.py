"""Every way in which a command ends: its exit code, one sentence, a command to try; as JSON where asked."""

import json

import pytest

from lookup_core.cli import main
from lookup_core.cli.exits import ExitCode

NOBODY = "127.0.0.1:9"


def test_without_anything_the_command_shows_what_it_can_do(nser):
    assert "Exit codes" in nser("--help").output
    for command in (
        "run",
        "stop",
        "status",
        "check",
        "register",
        "shred",
        "seed",
        "migrate",
        "api-keys",
        "keys",
    ):
        assert command in nser("--help").output


def test_exit_codes_are_the_documented_ones():
    documented = (main.HELP, __import__("lookup_core.cli.exits", fromlist=["x"]).__doc__)
    for code in ExitCode:
        assert str(int(code)) in documented[1]
    assert {int(code) for code in ExitCode} == {0, 1, 2, 3, 4, 5, 10, 11, 12}


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("check",), 2, "Say who"),
        (("check", "0712345678"), 5, "No API key"),
        (("register", "0712345678"), 2, "--period"),
        (("register", "0712345678", "--period", "3_days"), 2, "3_days"),
        (("register", "0712345678", "--period", "24_hours", "--county", "48"), 2, "county"),
        (("register", "0712345678", "--period", "24_hours", "--request-id", "7"), 2, "not a UUID"),
        (("check", "0712345678", "--id", "1", "--id-type", "licence"), 2, "licence"),
        (("api-keys", "create", "--operator", "X", "--scopes", "all"), 2, "No such scope: all"),
        (("api-keys", "create", "--operator", "X"), 5, "No API key"),
        (("api-keys", "revoke", "nser_demo_abcdef_secret_00"), 2, "typed nowhere"),
        (("seed", "--people", "0"), 2, "--people"),
        (("seed", "--people", "3", "--excluded-share", "2"), 2, "--excluded-share"),
        (("status",), 3, "Nothing runs"),
        (("migrate",), 3, "No database"),
        (("keys", "status"), 4, "cannot be read"),
        (("fly",), 2, "fly"),
    ],
)
def test_a_wrong_command_ends_in_one_sentence_and_its_code(nser, arguments, code, said):
    result = nser(*arguments)
    assert result.exit_code == code
    assert said in result.stderr
    assert "Traceback" not in result.output


def test_a_whole_key_given_to_revoke_is_not_shown_again(nser):
    assert "secret" not in nser("api-keys", "revoke", "nser_demo_abcdef_secret_00").output


def test_an_error_names_a_command_to_try(nser):
    assert "Try: make run" in nser("status").stderr


def test_an_error_is_json_where_json_was_asked_for(nser):
    told = json.loads(nser("status", "--json").stderr)["error"]
    assert told["exit_code"] == 3
    assert told["try"] == "make run"
    assert "Nothing runs" in told["message"]


def test_a_server_that_is_away_is_unavailable_and_play_is_denied(nser, monkeypatch):
    monkeypatch.setenv("NSER_API_KEY", "nser_demo_x")
    monkeypatch.setenv("NSER_REPLICA_ADDRESSES", NOBODY)
    result = nser("check", "0712345678")
    assert result.exit_code == ExitCode.UNAVAILABLE
    assert f"No replica answers at {NOBODY}" in result.stderr
    assert "Let nobody play" in result.stderr
    assert "0712345678" not in result.output


def test_nothing_running_is_no_fault_of_stop(nser):
    assert nser("stop").exit_code == 0


def test_a_fault_of_ours_shows_no_traceback_and_no_text_that_may_hold_personal_data(nser, monkeypatch):
    def broken() -> None:
        raise RuntimeError("0712345678 went wrong")

    monkeypatch.setattr("lookup_core.cli.seed.registrar", broken)
    result = nser("seed", "--people", "2", "--json")
    assert result.exit_code == ExitCode.FAULT
    assert "RuntimeError" in result.stderr
    assert "0712345678" not in result.output


def test_a_command_of_another_room_that_cannot_be_loaded_stops_nothing_else(monkeypatch, capsys):
    class Broken:
        name, value = "audit", "admin_app.audit:app"

        def load(self) -> None:
            raise ImportError("no module")

    monkeypatch.setattr(main, "entry_points", lambda group: [Broken()])
    assert main.build() is not None
    assert "audit" in capsys.readouterr().err
