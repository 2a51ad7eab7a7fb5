"""`nser api-keys`: what is asked for, every page followed, one table for people, one object for machines."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from nser.access.v1 import access_pb2, access_pb2_grpc
from tests.unit.cli.conftest import Nser

OPERATOR_ID = "0190a000-0000-7000-8000-000000000000"
EVERY_SCOPE = ["bst:read", "bst:write", *(f"scope:{letter * 20}" for letter in "abcdefghij")]


class Keys(access_pb2_grpc.AccessServiceServicer):
    """Lists what it holds, two a page."""

    def __init__(self) -> None:
        self.held: list[access_pb2.Key] = []
        self.asked: list[access_pb2.ListKeysRequest] = []
        self.wanted: list[access_pb2.CreateKeyRequest] = []

    def CreateKey(self, request: access_pb2.CreateKeyRequest, context: Any) -> access_pb2.CreateKeyResponse:
        self.wanted.append(request)
        kind = request.token_kind or access_pb2.TOKEN_KIND_GLOBAL
        return access_pb2.CreateKeyResponse(key=a_key(0, token_kind=kind), secret="nser_test_a_b_c")

    def ListKeys(self, request: access_pb2.ListKeysRequest, context: Any) -> access_pb2.ListKeysResponse:
        self.asked.append(request)
        begins = int(request.page_token or 0)
        more = str(begins + 2) if begins + 2 < len(self.held) else ""
        return access_pb2.ListKeysResponse(keys=self.held[begins : begins + 2], next_page_token=more)


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[Keys]:
    keys = Keys()
    server = grpc.server(ThreadPoolExecutor(max_workers=2))
    access_pb2_grpc.add_AccessServiceServicer_to_server(keys, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    monkeypatch.setenv("NSER_REGISTRAR_ADDRESS", f"127.0.0.1:{port}")
    monkeypatch.setenv("NSER_ADMIN_KEY", "nser_test_a_b_c")
    yield keys
    server.stop(None).wait()


def a_key(number: int, **values: Any) -> access_pb2.Key:
    told: dict[str, Any] = {
        "operator": "Simba Bet",
        "scopes": ["nser:read"],
        "state": access_pb2.KEY_STATE_ACTIVE,
        "requests_per_second": 100,
        "people_per_second": 20_000,
    }
    return access_pb2.Key(
        key_id=f"key{number:013}",
        operator_id=OPERATOR_ID,
        created_at=Timestamp(seconds=1_795_597_200),  # 25 November 2026, 09:00 UTC
        **(told | values),
    )


def test_every_page_is_in_one_aligned_table(served: Keys, nser: Nser) -> None:
    served.held = [a_key(number) for number in range(4)] + [a_key(4, state=access_pb2.KEY_STATE_REVOKED)]
    done = nser("api-keys", "list")
    heads, *rows = done.stdout.splitlines()
    assert done.exit_code == 0
    assert [row.split()[0] for row in rows] == [key.key_id for key in served.held]
    assert rows[0].split() == [
        *("key0000000000000", "Simba", "Bet", "nser:read"),
        *("100", "20,000", "active", "25", "Nov", "2026"),
    ]
    assert rows[4].split()[-4] == "revoked"
    assert len({row.index("Simba") for row in rows} | {heads.index("operator")}) == 1
    assert [request.page_token for request in served.asked] == ["", "2", "4"]


def test_an_object_has_every_key_with_its_budgets_and_no_secret(served: Keys, nser: Nser) -> None:
    served.held = [a_key(number) for number in range(3)]
    told = json.loads(nser("api-keys", "list", "--operator-id", OPERATOR_ID, "--json").stdout)
    assert [key["key_id"] for key in told["keys"]] == [key.key_id for key in served.held]
    assert set(told["keys"][0]) == {
        *("key_id", "operator_id", "operator", "scopes", "state", "created_at"),
        *("requests_per_second", "people_per_second", "token_kind"),
    }
    assert told["keys"][0]["created_at"] == "2026-11-25T09:00:00+00:00"
    assert {request.operator_id for request in served.asked} == {OPERATOR_ID}


@pytest.mark.parametrize(("given", "told"), [("", "global"), ("global", "global"), ("pairwise", "pairwise")])
def test_an_operators_kind_of_token_is_chosen_or_left_as_it_is(
    served: Keys, nser: Nser, given: str, told: str
) -> None:
    chosen = ["--tokens", given] if given else []
    made = json.loads(nser("api-keys", "create", "--operator", "Simba Bet", *chosen, "--json").stdout)
    assert made["token_kind"] == told
    [request] = served.wanted
    word = f"TOKEN_KIND_{given.upper() or 'UNSPECIFIED'}"
    assert request.token_kind == access_pb2.TokenKind.Value(word)


def test_a_kind_of_token_that_there_is_not_is_refused(served: Keys, nser: Nser) -> None:
    assert nser("api-keys", "create", "--operator", "Simba Bet", "--tokens", "secret").exit_code == 2
    assert served.wanted == []


def test_what_is_long_or_looks_like_markup_is_shown_whole(served: Keys, nser: Nser) -> None:
    served.held = [a_key(0, operator="[red]Bet[/red] :smile:", scopes=EVERY_SCOPE)]
    shown = nser("api-keys", "list").stdout
    assert "[red]Bet[/red] :smile:" in shown
    assert set(EVERY_SCOPE) <= set(shown.split())


def test_no_keys_is_said(served: Keys, nser: Nser) -> None:
    assert nser("api-keys", "list").stdout == "There are no keys.\n"
    assert json.loads(nser("api-keys", "list", "--json").stdout) == {"keys": []}


def test_an_operator_is_named_by_its_id(served: Keys, nser: Nser) -> None:
    done = nser("api-keys", "list", "--operator-id", "Simba Bet")
    assert done.exit_code == 2
    assert served.asked == []
