"""The registrar's door to tokens: rotation, history and rotations of many, by scope, and every refusal in form."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import grpc
import pytest

from lookup_core.domain.bst import Token, format_token
from nser.bst.v1 import bst_pb2
from tests.integration.registrar.conftest import Metadata
from tests.support.people import Someone, someone
from tests.support.refusals import refused
from tests.support.running_registrar import RunningRegistrar
from tests.support.waiting import until

pytestmark = pytest.mark.services

UNKNOWN = format_token(Token(b"u" * 16))


@pytest.fixture(scope="module")
async def simba(running: RunningRegistrar) -> Metadata:
    return await running.key("bst:read", "bst:write", operator="Simba Bet")


@pytest.fixture(scope="module")
async def twiga(running: RunningRegistrar) -> Metadata:
    return await running.key("bst:read", "bst:write", operator="Twiga Bet")


async def a_token(running: RunningRegistrar, metadata: Metadata, person: Someone | None = None) -> str:
    wanjiku = person or someone()
    request = bst_pb2.GenerateRequest(phone=wanjiku.phone, document=wanjiku.document_message)
    return (await running.bst.Generate(request, metadata=metadata)).bst


async def test_many_are_generated_at_once_and_one_that_cannot_be_read_spoils_no_other(
    running: RunningRegistrar, simba: Metadata
) -> None:
    known, new = someone(), someone()
    theirs = await a_token(running, simba, known)
    people = [
        bst_pb2.GenerateRequest(document=one.document_message, phone=one.phone) for one in (known, new, new)
    ]
    wrong = [bst_pb2.GenerateRequest(phone="12"), bst_pb2.GenerateRequest()]
    request = bst_pb2.BatchGenerateRequest(people=[*wrong, *people])
    results = (await running.bst.BatchGenerate(request, metadata=simba)).results
    assert [result.error.reason for result in results[:2]] == ["INVALID_IDENTITY", "INVALID_REQUEST"]
    assert results[0].error.field == "phone"
    given = [result.generated for result in results[2:]]
    assert given[0].bst == theirs
    assert given[1].bst == given[2].bst != theirs
    assert [one.created for one in given] == [False, True, False]
    again = (await running.bst.BatchGenerate(request, metadata=simba)).results
    assert [one.generated.bst for one in again[2:]] == [one.bst for one in given]
    assert (
        (await running.bst.BatchGenerate(bst_pb2.BatchGenerateRequest(people=wrong), metadata=simba))
        .results[1]
        .error.message
    )


async def test_a_batch_of_nobody_or_of_too_many_is_refused(
    running: RunningRegistrar, simba: Metadata
) -> None:
    for people in ([], [bst_pb2.GenerateRequest(phone=someone().phone)] * 1_001):
        request = bst_pb2.BatchGenerateRequest(people=people)
        answer = await refused(running.bst.BatchGenerate(request, metadata=simba))
        assert (answer.code, answer.field) == (grpc.StatusCode.INVALID_ARGUMENT, "people")


def rotate(bst: str, **values: Any) -> bst_pb2.RotateRequest:
    return bst_pb2.RotateRequest(
        **{"request_id": str(uuid4()), "bst": bst, "reason": "lost laptop", **values}
    )


async def test_an_operator_rotates_a_token_of_its_own(running: RunningRegistrar, simba: Metadata) -> None:
    wanjiku = someone()
    old = await a_token(running, simba, wanjiku)
    request = rotate(old)
    rotated = await running.bst.Rotate(request, metadata=simba)
    assert (rotated.replaces, rotated.version) == (old, 2)
    assert rotated.revision
    assert rotated.created_at.seconds > 0
    assert await running.bst.Rotate(request, metadata=simba) == rotated
    assert await a_token(running, simba, wanjiku) == rotated.bst
    states = [
        (await running.bst.Validate(bst_pb2.ValidateRequest(bst=each), metadata=simba)).status
        for each in (old, rotated.bst)
    ]
    assert states == [bst_pb2.TOKEN_STATUS_ROTATED, bst_pb2.TOKEN_STATUS_LIVE]
    again = await refused(running.bst.Rotate(rotate(old), metadata=simba))
    assert (again.code, again.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "TOKEN_NOT_LIVE")


async def test_what_is_not_yours_and_what_is_nobodys_is_refused_alike(
    running: RunningRegistrar, simba: Metadata, twiga: Metadata
) -> None:
    theirs = await a_token(running, simba)
    said = set()
    for bst in (theirs, UNKNOWN):
        for call in (
            running.bst.Rotate(rotate(bst), metadata=twiga),
            running.bst.History(bst_pb2.HistoryRequest(bst=bst), metadata=twiga),
        ):
            answer = await refused(call)
            said.add((answer.code, answer.reason, answer.field, answer.text))
    assert {one[:3] for one in said} == {(grpc.StatusCode.NOT_FOUND, "TOKEN_NOT_FOUND", "bst")}
    assert len(said) == 1


async def test_an_administrator_sees_everybodys_uses_and_an_operator_its_own(
    running: RunningRegistrar, admin: Metadata, simba: Metadata, twiga: Metadata
) -> None:
    wanjiku = someone()
    bst = await a_token(running, simba, wanjiku)
    await a_token(running, twiga, wanjiku)
    seen = {}
    for who, metadata in (("admin", admin), ("twiga", twiga)):
        answer = await running.bst.History(bst_pb2.HistoryRequest(bst=bst), metadata=metadata)
        seen[who] = {(use.operator, use.action) for use in answer.uses}
    assert seen["admin"] == {
        ("Simba Bet", "generated"),
        ("Simba Bet", "disclosed"),
        ("Twiga Bet", "disclosed"),
    }
    assert seen["twiga"] == {("Twiga Bet", "disclosed")}


async def test_many_are_rotated_in_the_background(
    running: RunningRegistrar, admin: Metadata, twiga: Metadata
) -> None:
    listed = [await a_token(running, twiga) for _ in range(3)]
    start = bst_pb2.StartRotationRequest(
        request_id=str(uuid4()), list=bst_pb2.TokenList(tokens=listed), revoke_old=True, reason="stolen"
    )
    started = (await running.bst.StartRotation(start, metadata=admin)).rotation
    assert started == (await running.bst.StartRotation(start, metadata=admin)).rotation or started.listed == 3
    get = bst_pb2.GetRotationRequest(rotation_id=started.rotation_id)

    async def is_done() -> bool:
        held = (await running.bst.GetRotation(get, metadata=admin)).rotation
        return held.state == bst_pb2.ROTATION_STATE_DONE

    await until(is_done, "the rotation is done")
    held = (await running.bst.GetRotation(get, metadata=admin)).rotation
    assert (held.rotated, held.revoked, held.progress) == (3, 3, 1.0)
    page = await running.bst.ListRotations(bst_pb2.ListRotationsRequest(), metadata=admin)
    assert held in page.rotations
    validated = await running.bst.Validate(bst_pb2.ValidateRequest(bst=listed[0]), metadata=twiga)
    assert (validated.valid, validated.status) == (False, bst_pb2.TOKEN_STATUS_REVOKED)
    cancel = bst_pb2.CancelRotationRequest(request_id=str(uuid4()), rotation_id=started.rotation_id)
    assert (await running.bst.CancelRotation(cancel, metadata=admin)).rotation == held


async def test_rotations_are_an_administrators_alone(running: RunningRegistrar, simba: Metadata) -> None:
    call = running.bst.ListRotations(bst_pb2.ListRotationsRequest(), metadata=simba)
    answer = await refused(call)
    assert (answer.code, answer.reason) == (grpc.StatusCode.PERMISSION_DENIED, "NOT_PERMITTED")


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({}, "over"),
        ({"operator_id": "7"}, "operator_id"),
        ({"operator_id": str(uuid4())}, "operator_id"),
        ({"list": bst_pb2.TokenList(tokens=[UNKNOWN, "BST-02-x"])}, "list.tokens[1]"),
        ({"list": bst_pb2.TokenList()}, "list.tokens"),
        ({"minted": bst_pb2.MintedBetween()}, "minted.from"),
        ({"list": bst_pb2.TokenList(tokens=[UNKNOWN]), "reason": ""}, "reason"),
        ({"list": bst_pb2.TokenList(tokens=[UNKNOWN]), "request_id": "7"}, "request_id"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_what_cannot_be_started_names_its_field(
    running: RunningRegistrar, admin: Metadata, values: dict[str, Any], field: str
) -> None:
    request = bst_pb2.StartRotationRequest(**{"request_id": str(uuid4()), "reason": "stolen", **values})
    answer = await refused(running.bst.StartRotation(request, metadata=admin))
    assert (answer.code, answer.field) == (grpc.StatusCode.INVALID_ARGUMENT, field)
