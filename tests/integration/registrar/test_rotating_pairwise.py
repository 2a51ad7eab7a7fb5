"""Rotation and history beside pairwise tokens: what an operator with its own is told, and what links nothing."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from lookup_core.domain.bst import PAIRWISE, Token, format_token
from lookup_core.domain.pairwise import TokenKind
from lookup_core.kernel.errors import InvalidRequest, TokenNotFound, TokenNotLive
from lookup_core.registrar.create_key import NewKey
from lookup_core.registrar.validate_token import TokenStatus
from tests.integration.registrar.conftest import Rows
from tests.support.people import someone
from tests.support.registrar_desk import Desk, a_request_id, an_identity, verified_chain
from tests.support.services import Database
from tests.support.token_desk import TokenDesk

pytestmark = pytest.mark.services


@pytest.fixture
def tokens(desk: Desk) -> TokenDesk:
    return TokenDesk(desk)


async def an_operator(desk: Desk, name: str, kind: TokenKind) -> dict[str, Any]:
    """What its calls come with."""
    key = (await desk.create_key(NewKey(name, ("bst:read", "bst:write"), token_kind=kind))).key
    return {"operator_id": key.operator_id, "token_kind": kind}


@pytest.fixture
async def simba(desk: Desk) -> dict[str, Any]:
    return await an_operator(desk, "Simba Bet", TokenKind.PAIRWISE)


@pytest.fixture
async def twiga(desk: Desk) -> dict[str, Any]:
    return await an_operator(desk, "Twiga Bet", TokenKind.PAIRWISE)


@pytest.fixture
async def duma(desk: Desk) -> dict[str, Any]:
    return await an_operator(desk, "Duma Bet", TokenKind.GLOBAL)


async def shown(desk: Desk, who: dict[str, Any], identity: Any) -> Token:
    return (await desk.generate(identity, **who)).shown


async def status_of(desk: Desk, token: Token, who: dict[str, Any]) -> TokenStatus:
    return (await desk.validate(format_token(token), **who)).status


async def events(rows: Rows) -> list[tuple[Any, dict[str, Any]]]:
    told = await rows("SELECT operator_id, payload FROM register.outbox WHERE event = 'bst.rotated'")
    return [(operator_id, json.loads(payload)) for operator_id, payload in told]


async def everything_kept(rows: Rows) -> str:
    """Whatever a rotation leaves in answers, events and the audit log."""
    kept = await rows("SELECT convert_from(answer, 'UTF8') FROM register.request")
    kept += await rows("SELECT payload::text FROM register.outbox")
    kept += await rows("SELECT subject || reason FROM register.audit_entry")
    return " ".join(kept)


async def test_a_pairwise_token_is_rotated_and_none_is_kept(
    desk: Desk,
    tokens: TokenDesk,
    simba: dict[str, Any],
    twiga: dict[str, Any],
    rows: Rows,
    database: Database,
) -> None:
    wanjiku, request_id = an_identity(someone()), a_request_id()
    old, other = await shown(desk, simba, wanjiku), await shown(desk, twiga, wanjiku)
    done = await tokens.rotate(old, sees_all=False, request_id=request_id, **simba)
    assert done.replaces == old != done.token
    assert done.token.version == PAIRWISE
    assert await tokens.rotate(old, sees_all=False, request_id=request_id, **simba) == done
    assert await shown(desk, simba, wanjiku) == done.token
    assert await status_of(desk, old, simba) is TokenStatus.ROTATED
    assert await status_of(desk, done.token, simba) is TokenStatus.LIVE
    assert await status_of(desk, other, twiga) is TokenStatus.ROTATED
    assert "BST-03" not in await everything_kept(rows)
    assert {operator_id for operator_id, _ in await events(rows)} == {
        simba["operator_id"],
        twiga["operator_id"],
    }
    with pytest.raises(TokenNotLive):
        await tokens.rotate(old, sees_all=False, **simba)
    await verified_chain(database)


async def test_anothers_pairwise_token_and_a_global_one_from_elsewhere_are_nobodys(
    desk: Desk, tokens: TokenDesk, simba: dict[str, Any], twiga: dict[str, Any], duma: dict[str, Any]
) -> None:
    wanjiku = an_identity(someone())
    await shown(desk, simba, wanjiku)
    theirs, common = await shown(desk, twiga, wanjiku), await shown(desk, duma, wanjiku)
    for token in (theirs, common, Token(bytes(16)), Token(bytes(16), PAIRWISE)):
        with pytest.raises(TokenNotFound):
            await tokens.rotate(token, sees_all=False, **simba)
        with pytest.raises(TokenNotFound):
            await tokens.history(token, sees_all=False, **simba)


async def test_a_global_rotation_tells_an_operator_with_its_own_tokens_nothing(
    desk: Desk, tokens: TokenDesk, simba: dict[str, Any], duma: dict[str, Any], rows: Rows
) -> None:
    wanjiku = an_identity(someone())
    own, common = await shown(desk, simba, wanjiku), await shown(desk, duma, wanjiku)
    before = await desk.generate(wanjiku, **simba)
    new = (await tokens.rotate(common, sees_all=False, **duma)).token
    assert [(operator_id, told["bst"]) for operator_id, told in await events(rows)] == [
        (duma["operator_id"], format_token(new))
    ]
    after = await desk.generate(wanjiku, **simba)
    assert (after.shown, after.is_new) == (own, False)
    assert after.created_at == before.created_at  # no time that operators have in common


@pytest.mark.parametrize("revokes", [False, True])
async def test_a_bulk_rotation_leaves_what_operators_with_their_own_know(
    desk: Desk, tokens: TokenDesk, simba: dict[str, Any], duma: dict[str, Any], revokes: bool
) -> None:
    wanjiku = an_identity(someone())
    await shown(desk, duma, wanjiku)
    before = await desk.generate(wanjiku, **simba)
    done = await tokens.run(await tokens.start(operator_id=duma["operator_id"], revokes=revokes))
    assert done.rotated == 1
    after = await desk.generate(wanjiku, **simba)
    assert (after.shown, after.created_at, after.is_new) == (before.shown, before.created_at, False)


async def test_what_an_operator_with_its_own_had_is_rotated_by_generation(
    desk: Desk, tokens: TokenDesk, simba: dict[str, Any], duma: dict[str, Any], rows: Rows
) -> None:
    people = [an_identity(someone()) for _ in range(5)]
    theirs = [await shown(desk, simba, each) for each in people]
    common = [await shown(desk, duma, each) for each in people]
    spared = await shown(desk, duma, an_identity(someone()))
    # Earlier global tokens of one of them are passed too, and their person is turned once.
    common[0] = (await tokens.rotate(common[0])).token
    done = await tokens.run(await tokens.start(operator_id=simba["operator_id"]))
    assert (done.rotated, done.revoked) == (5, 0)
    assert {await status_of(desk, token, simba) for token in theirs} == {TokenStatus.ROTATED}
    assert {await status_of(desk, token, duma) for token in (*common, spared)} == {TokenStatus.LIVE}
    turned = "SELECT pairwise_generation FROM register.person ORDER BY 1 DESC LIMIT 5"
    assert await rows(turned) == [1] * 5
    assert "BST-03" not in await everything_kept(rows)


async def test_tokens_of_its_own_are_not_revoked(
    desk: Desk, tokens: TokenDesk, simba: dict[str, Any]
) -> None:
    with pytest.raises(InvalidRequest) as refused:
        await tokens.start(operator_id=simba["operator_id"], revokes=True)
    assert refused.value.field == "revoke_old"


async def test_its_history_is_read_by_its_own_token_and_names_no_global_one(
    desk: Desk, tokens: TokenDesk, simba: dict[str, Any], duma: dict[str, Any], rows: Rows
) -> None:
    await rows("SELECT register.ensure_lookup_log(0)")
    wanjiku = an_identity(someone())
    own, common = await shown(desk, simba, wanjiku), await shown(desk, duma, wanjiku)
    await tokens.rotate(common)
    at = desk.clock.now() + timedelta(minutes=1)
    await rows(
        "INSERT INTO register.lookup_log (at, replica_id, sequence, operator_id, key_id, purpose, outcome, token, "
        "revision, correlation_id) VALUES ($1, gen_random_uuid(), 1, $2, 'k', 'exclusion', 'EXCLUDED', $3, 1, 'c')",
        *(at, simba["operator_id"], common.raw),
    )
    page = await tokens.history(own, sees_all=False, **simba)
    assert page.entries[0].action == "checked"
    assert {use.operator for use in page.entries} == {"Simba Bet"}
    assert not [use for use in page.entries if "BST" in use.purpose]
    assert "BST-03" not in await everything_kept(rows)
