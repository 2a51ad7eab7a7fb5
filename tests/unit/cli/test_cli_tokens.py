"""`nser tokens`: what is asked for becomes a request, a long list several, and progress is shown."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest

from lookup_core.cli import tokens
from lookup_core.domain.bst import Token, format_token
from nser.access.v1 import access_pb2, access_pb2_grpc
from nser.bst.v1 import bst_pb2, bst_pb2_grpc
from tests.unit.cli.conftest import Nser

SIMBA = "0190a000-0000-7000-8000-000000000000"


class Rotations(bst_pb2_grpc.BstServiceServicer):
    """Takes what is started, and says of it that it comes further at each look."""

    def __init__(self) -> None:
        self.asked: list[bst_pb2.StartRotationRequest] = []
        self.looks = 0

    def StartRotation(self, request: bst_pb2.StartRotationRequest, context: Any) -> Any:
        self.asked.append(request)
        return bst_pb2.StartRotationResponse(rotation=self._told(request.request_id))

    def GetRotation(self, request: bst_pb2.GetRotationRequest, context: Any) -> Any:
        self.looks += 1
        return bst_pb2.GetRotationResponse(rotation=self._told(request.rotation_id))

    def ListRotations(self, request: bst_pb2.ListRotationsRequest, context: Any) -> Any:
        told = [self._told(asked.request_id) for asked in self.asked]
        return bst_pb2.ListRotationsResponse(rotations=told)

    def CancelRotation(self, request: bst_pb2.CancelRotationRequest, context: Any) -> Any:
        told = self._told(request.rotation_id)
        told.state = bst_pb2.ROTATION_STATE_CANCELLED
        return bst_pb2.CancelRotationResponse(rotation=told)

    def _told(self, rotation_id: str) -> bst_pb2.Rotation:
        state = bst_pb2.ROTATION_STATE_DONE if self.looks > 1 else bst_pb2.ROTATION_STATE_RUNNING
        return bst_pb2.Rotation(
            rotation_id=rotation_id, operator="Simba Bet", state=state, progress=self.looks / 2, rotated=7
        )


class Keys(access_pb2_grpc.AccessServiceServicer):
    """Knows one operator."""

    def ListKeys(self, request: access_pb2.ListKeysRequest, context: Any) -> Any:
        key = access_pb2.Key(key_id="k", operator="Simba Bet", operator_id=SIMBA)
        return access_pb2.ListKeysResponse(keys=[key])


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[Rotations]:
    rotations = Rotations()
    server = grpc.server(ThreadPoolExecutor(max_workers=2))
    bst_pb2_grpc.add_BstServiceServicer_to_server(rotations, server)
    access_pb2_grpc.add_AccessServiceServicer_to_server(Keys(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    monkeypatch.setenv("NSER_REGISTRAR_ADDRESS", f"127.0.0.1:{port}")
    monkeypatch.setenv("NSER_ADMIN_KEY", "nser_test_a_b_c")
    monkeypatch.setattr(tokens, "WATCH_EVERY_S", 0.0)
    yield rotations
    server.stop(None).wait()


def test_an_operator_is_named_by_name_or_id(nser: Nser, served: Rotations) -> None:
    for named in ("Simba Bet", SIMBA):
        said = nser("tokens", "rotate", "--operator", named, "--reason", "stolen", "--dry-run")
        assert said.exit_code == 0, said.stderr
    assert {asked.operator_id for asked in served.asked} == {SIMBA}
    assert all(asked.dry_run and not asked.revoke_old for asked in served.asked)


def test_a_time_without_a_zone_is_kenyan(nser: Nser, served: Rotations) -> None:
    time = ("--minted-from", "2026-11-01T09:00", "--minted-to", "2026-11-02T09:00Z")
    assert nser("tokens", "rotate", *time, "--reason", "stolen", "--revoke-old").exit_code == 0
    [asked] = served.asked
    assert asked.minted.to.ToJsonString() == "2026-11-02T09:00:00Z"
    assert getattr(asked.minted, "from").ToJsonString() == "2026-11-01T06:00:00Z"
    assert asked.revoke_old


def test_a_long_list_is_several_rotations(
    nser: Nser, served: Rotations, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens, "LONGEST_LIST", 3)
    texts = [format_token(Token(bytes(15) + bytes([number]))) for number in range(7)]
    file = tmp_path / "stolen"
    file.write_text("\n".join([*texts, "", texts[0].lower()]))
    told = nser("tokens", "rotate", "--list", str(file), "--reason", "stolen", "--json")
    assert [len(asked.list.tokens) for asked in served.asked] == [3, 3, 1]
    assert [text for asked in served.asked for text in asked.list.tokens] == texts
    assert len(json.loads(told.stdout)["rotations"]) == 3


def test_it_is_watched_until_it_is_done(nser: Nser, served: Rotations) -> None:
    told = nser("tokens", "rotate", "--operator", SIMBA, "--reason", "stolen", "--watch")
    assert "done, 100%; 7 are rotated" in told.stdout
    assert "running, 0%" in told.stderr
    assert served.looks == 2


def test_rotations_are_shown_and_stopped(nser: Nser, served: Rotations) -> None:
    assert "There are no rotations." in nser("tokens", "rotations").stdout
    nser("tokens", "rotate", "--operator", SIMBA, "--reason", "stolen")
    rotation_id = served.asked[0].request_id
    assert rotation_id in nser("tokens", "rotations").stdout
    assert "cancelled" in nser("tokens", "cancel", rotation_id).stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "Say which tokens"),
        (("--operator", SIMBA, "--minted-from", "2026-11-01"), "Say which tokens"),
        (("--minted-from", "2026-11-01"), "Give both"),
        (("--minted-from", "yesterday", "--minted-to", "2026-11-01"), "not a time"),
        (("--operator", "Nobody"), "No operator"),
        (("--list", "/nonexistent"), "cannot be read"),
    ],
)
def test_what_is_written_wrongly_starts_nothing(
    nser: Nser, served: Rotations, arguments: tuple[str, ...], said: str
) -> None:
    told = nser("tokens", "rotate", *arguments, "--reason", "stolen")
    assert (told.exit_code, said in told.stderr) == (2, True)
    assert served.asked == []


def test_a_line_that_is_no_token_is_named(nser: Nser, served: Rotations, tmp_path: Path) -> None:
    file = tmp_path / "stolen"
    file.write_text(f"{format_token(Token(bytes(16)))}\nBST-02-nonsense\n")
    told = nser("tokens", "rotate", "--list", str(file), "--reason", "stolen")
    assert (told.exit_code, "line 2" in told.stderr) == (2, True)
    assert served.asked == []
