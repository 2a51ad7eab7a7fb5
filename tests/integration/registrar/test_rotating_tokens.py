"""Rotating tokens, one and many: what becomes of each, who is told, and that everybody gets one new token."""

from __future__ import annotations

import asyncio
import itertools
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from lookup_core.domain import bst
from lookup_core.domain.bst import format_token
from lookup_core.kernel.clock import SystemClock
from lookup_core.kernel.errors import (
    InvalidRequest,
    RequestIdReused,
    RotationNotFound,
    TokenNotFound,
    TokenNotLive,
)
from lookup_core.registrar import rotation_runner
from lookup_core.registrar.create_key import NewKey
from lookup_core.registrar.rotation_runner import Went
from lookup_core.registrar.store.token_rows import RotationState
from lookup_core.registrar.validate_token import TokenStatus
from nser.feed.v1 import feed_pb2
from tests.integration.registrar.conftest import Rows
from tests.support.people import someone
from tests.support.registrar_desk import (
    RING,
    Desk,
    a_caller,
    a_request_id,
    an_identity,
    desk_on,
    verified_chain,
)
from tests.support.services import Database
from tests.support.token_desk import TokenDesk, a_minting

pytestmark = pytest.mark.services


@pytest.fixture
def tokens(desk: Desk) -> TokenDesk:
    return TokenDesk(desk)


async def an_operator(desk: Desk, name: str = "Simba Bet") -> Any:
    return (await desk.create_key(NewKey(name, ("bst:read", "bst:write")))).key.operator_id


async def status_of(desk: Desk, token: bst.Token) -> TokenStatus:
    return (await desk.validate(format_token(token))).status


async def test_a_rotated_token_has_a_successor_and_goes_on_resolving(
    desk: Desk, tokens: TokenDesk, database: Database, rows: Rows
) -> None:
    wanjiku = an_identity(someone())
    old = (await desk.generate(wanjiku)).token
    rotated = await tokens.rotate(old)
    assert rotated.replaces == old != rotated.token
    assert (await desk.generate(wanjiku)).token == rotated.token
    assert await status_of(desk, old) is TokenStatus.ROTATED
    assert await status_of(desk, rotated.token) is TokenStatus.LIVE
    query = "SELECT replaces, salt_version FROM register.bst_token WHERE token = $1"
    assert await rows(query, rotated.token.raw) == [(old.raw, RING.bst_salt.active)]
    [change] = await rows("SELECT statements FROM register.change WHERE revision = $1", rotated.revision)
    [stated] = feed_pb2.Change.FromString(change).statements
    assert (stated.person.token, list(stated.person.rotated_tokens)) == (rotated.token.raw, [old.raw])
    await verified_chain(database)


async def test_its_successor_stands_for_the_same_identifiers(tokens: TokenDesk, rows: Rows) -> None:
    old = await tokens.token()
    new = (await tokens.rotate(old)).token
    mapped = "SELECT kind, blind FROM register.bst_mapping WHERE token = $1 ORDER BY kind"
    assert await rows(mapped, new.raw) == await rows(mapped, old.raw) != []


async def test_a_rotation_is_done_once_for_a_request_id(tokens: TokenDesk, rows: Rows) -> None:
    old, request_id = await tokens.token(), a_request_id()
    both = await asyncio.gather(*(tokens.rotate(old, request_id=request_id) for _ in range(2)))
    assert both[0] == both[1]
    actions = await rows(
        "SELECT action FROM register.audit_entry WHERE action LIKE 'bst.rotated%' ORDER BY 1"
    )
    assert actions == ["bst.rotated", "bst.rotated.repeated"]
    with pytest.raises(RequestIdReused):
        await tokens.rotate(old, request_id=request_id, reason="another")


async def test_of_two_who_rotate_one_token_the_second_is_told_that_it_is_rotated(tokens: TokenDesk) -> None:
    old = await tokens.token()
    ended = await asyncio.gather(*(tokens.rotate(old) for _ in range(2)), return_exceptions=True)
    [refused] = [one for one in ended if isinstance(one, TokenNotLive)]
    assert refused.details == {"state": "rotated"}


async def test_a_rotation_is_audited_with_its_reason(tokens: TokenDesk, rows: Rows) -> None:
    old = await tokens.token()
    new = (await tokens.rotate(old, reason="lost laptop")).token
    lines = await rows("SELECT action, subject, reason FROM register.audit_entry ORDER BY entry_id OFFSET 1")
    assert lines == [
        ("bst.rotated", format_token(old), "lost laptop"),
        ("bst.generated", format_token(new), "lost laptop"),
    ]


async def test_every_operator_that_had_the_token_is_told_its_successor_and_no_other_is(
    desk: Desk, tokens: TokenDesk, rows: Rows
) -> None:
    simba, twiga = await an_operator(desk, "Simba Bet"), await an_operator(desk, "Twiga Bet")
    await an_operator(desk, "Duma Bet")
    wanjiku = an_identity(someone())
    old = (await desk.generate(wanjiku, operator_id=simba)).token
    await desk.generate(wanjiku, operator_id=twiga)
    new = (await tokens.rotate(old)).token
    told = await rows("SELECT operator_id, payload FROM register.outbox WHERE event = 'bst.rotated'")
    assert {operator_id for operator_id, _ in told} == {simba, twiga}
    said = {"bst": format_token(new), "replaces": format_token(old), "revoked": False}
    assert [json.loads(payload) for _, payload in told] == [said, said]
    known = "SELECT operator_id FROM register.bst_cross_reference WHERE token = $1"
    assert set(await rows(known, new.raw)) == {simba, twiga}


async def test_a_token_of_another_operator_is_refused_as_one_that_nobody_has(
    desk: Desk, tokens: TokenDesk
) -> None:
    simba, twiga = await an_operator(desk, "Simba Bet"), await an_operator(desk, "Twiga Bet")
    theirs, nobodys = await tokens.token(simba), bst.Token(bytes(16))
    said = []
    for token in (theirs, nobodys):
        with pytest.raises(TokenNotFound) as refused:
            await tokens.rotate(token, sees_all=False, operator_id=twiga)
        said.append((refused.value.message, refused.value.field, dict(refused.value.details)))
    assert said[0] == said[1]
    assert (await tokens.rotate(theirs, sees_all=False, operator_id=simba)).replaces == theirs


async def told_in_answers(rows: Rows, operator_id: Any, *told: bst.Token) -> None:
    """Entries of the lookup log, as a replica ships them."""
    await rows("SELECT register.ensure_lookup_log(0)")
    for sequence, token in enumerate(told):
        await rows(
            "INSERT INTO register.lookup_log (at, replica_id, sequence, operator_id, key_id, purpose, outcome, token, "
            "revision, correlation_id) VALUES (now(), $1, $2, $3, 'k', 'exclusion', 'EXCLUDED', $4, 1, 'c')",
            *(UUID(int=1), sequence, operator_id, token.raw),
        )


async def test_a_token_that_an_answer_told_an_operator_is_known_to_it(
    desk: Desk, tokens: TokenDesk, rows: Rows
) -> None:
    simba, token = await an_operator(desk), await tokens.token()
    await told_in_answers(rows, simba, token)
    assert (await tokens.rotate(token, sees_all=False, operator_id=simba)).replaces == token


async def test_what_an_operator_was_told_in_answers_is_rotated_too(
    desk: Desk, tokens: TokenDesk, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rotation_runner, "LOG_PIECE", 2)
    simba, twiga = await an_operator(desk, "Simba Bet"), await an_operator(desk, "Twiga Bet")
    told = [await tokens.token() for _ in range(5)]
    others = await tokens.token()
    await told_in_answers(rows, simba, *told, *told, bst.Token(b"u" * 16))
    await rows("UPDATE register.lookup_log SET operator_id = $1 WHERE sequence = 5", twiga)
    done = await tokens.run(await tokens.start(operator_id=simba))
    assert done.rotated == 5
    assert await status_of(desk, others) is TokenStatus.LIVE


async def test_a_collision_on_rotation_is_minted_again_and_audited(database: Database, rows: Rows) -> None:
    clock, now = SystemClock(), SystemClock().now()
    clock.now = lambda: now  # type: ignore[method-assign]
    nonces = itertools.chain([bytes(16), bytes(16)], itertools.repeat(b"\1" * 16))
    async with desk_on(database, clock=clock) as desk:
        tokens = TokenDesk(desk, nonce=lambda: next(nonces))
        wanjiku = an_identity(someone())
        old = (await desk.generate(wanjiku)).token
        fields = [each.kind.encode() + each.blind for each in desk.secrets.blinded(wanjiku)]
        taken = bst.mint(RING.bst_salt.current, fields, now, bytes(16))
        [number] = await rows("SELECT person_no FROM register.bst_token WHERE token = $1", old.raw)
        await rows(
            "INSERT INTO register.bst_token (token, person_no, state) VALUES ($1, $2, 'rotated')",
            *(taken.raw, number),
        )
        rotated = await tokens.rotate(old)
    assert rotated.token != taken
    assert await rows("SELECT count(*) FROM register.audit_entry WHERE action = 'bst.collision'") == [2]


async def test_a_version_that_is_added_resolves_beside_the_earlier_one(
    desk: Desk, tokens: TokenDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = bst.ALGORITHMS[bst.VERSION].mint
    monkeypatch.setitem(bst.ALGORITHMS, 9, bst.Algorithm(9, mint=make))
    old = await tokens.token()
    monkeypatch.setattr(tokens._rotate._mint, "_version", 9)
    new = (await tokens.rotate(old)).token
    assert format_token(new).startswith("BST-09-")
    assert await status_of(desk, new) is TokenStatus.LIVE
    assert await status_of(desk, old) is TokenStatus.ROTATED
    assert await status_of(desk, bst.Token(new.raw)) is TokenStatus.UNKNOWN  # its bytes under another version


# -- many


async def live_tokens(rows: Rows) -> dict[int, bytes]:
    return dict(await rows("SELECT person_no, token FROM register.bst_token WHERE state = 'live'"))


async def rotated_by_operator(desk: Desk, tokens: TokenDesk) -> tuple[Any, list[bst.Token], list[bst.Token]]:
    """A rotation of all 20 tokens of one operator, to its end; and those, and the 3 of another."""
    simba, twiga = await an_operator(desk, "Simba Bet"), await an_operator(desk, "Twiga Bet")
    theirs = [await tokens.token(simba) for _ in range(20)]
    others = [await tokens.token(twiga) for _ in range(3)]
    return await tokens.run(await tokens.start(operator_id=simba)), theirs, others


async def test_all_that_an_operator_had_is_rotated_once_and_nothing_else(
    desk: Desk, tokens: TokenDesk, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The successors are told to the operator, so that the cursor meets those that come after it."""
    monkeypatch.setattr(rotation_runner, "GROUP", 3)
    done, theirs, others = await rotated_by_operator(desk, tokens)
    assert (done.state, done.rotated, done.revoked, done.progress) == (RotationState.DONE, 20, 0, 1.0)
    assert {await status_of(desk, token) for token in theirs} == {TokenStatus.ROTATED}
    assert {await status_of(desk, token) for token in others} == {TokenStatus.LIVE}
    assert await rows("SELECT count(*) FROM register.bst_token WHERE rotation_id IS NOT NULL") == [20]


@pytest.mark.breaks
async def test_without_sparing_what_it_made_itself_somebody_is_rotated_twice(
    desk: Desk, tokens: TokenDesk, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rotation_runner, "GROUP", 3)
    spares = rotation_runner._wanted
    monkeypatch.setattr(
        rotation_runner, "_wanted", lambda held, passed: spares(replace(held, rotation_id=uuid4()), passed)
    )
    done, _, _ = await rotated_by_operator(desk, tokens)
    assert done.rotated > 20


async def test_all_that_was_minted_in_a_time_is_rotated(
    desk: Desk, tokens: TokenDesk, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rotation_runner, "GROUP", 3)
    minted = [await tokens.token() for _ in range(7)]
    for day, token in enumerate(minted, start=1):
        await rows(
            "UPDATE register.bst_token SET created_at = $2 WHERE token = $1",
            *(token.raw, datetime(2026, 1, day, tzinfo=UTC)),
        )
    time = a_minting(datetime(2026, 1, 2, tzinfo=UTC), datetime(2026, 1, 6, tzinfo=UTC))
    done = await tokens.run(await tokens.start(minted=time))
    assert (done.rotated, done.passed) == (4, 4)
    states = [await status_of(desk, token) for token in minted]
    rotated = [state is TokenStatus.ROTATED for state in states]
    assert rotated == [False, True, True, True, True, False, False]


async def test_all_of_a_list_is_rotated_and_what_is_unknown_is_counted(desk: Desk, tokens: TokenDesk) -> None:
    listed = [await tokens.token() for _ in range(4)]
    spared = await tokens.token()
    unknown = bst.Token(b"u" * 16)
    done = await tokens.run(await tokens.start(tokens=[*listed, listed[0], unknown]))
    assert (done.listed, done.passed, done.rotated, done.unknown) == (5, 5, 4, 1)
    assert await status_of(desk, spared) is TokenStatus.LIVE


async def test_revoked_ones_resolve_no_more_and_nobody_is_told_their_successors(
    desk: Desk, tokens: TokenDesk, rows: Rows
) -> None:
    simba = await an_operator(desk)
    oldest = await tokens.token(simba)
    old = (await tokens.rotate(oldest)).token  # the operator had both
    done = await tokens.run(await tokens.start(operator_id=simba, revokes=True))
    assert (done.rotated, done.revoked) == (1, 2)
    assert {await status_of(desk, token) for token in (oldest, old)} == {TokenStatus.REVOKED}
    [live] = (await live_tokens(rows)).values()
    assert await rows("SELECT count(*) FROM register.bst_cross_reference WHERE token = $1", live) == [0]
    told = await rows("SELECT payload FROM register.outbox WHERE payload ->> 'revoked' = 'true'")
    assert [json.loads(payload)["bst"] for payload in told] == [None, None]
    [change] = await rows("SELECT statements FROM register.change ORDER BY revision DESC LIMIT 1")
    [stated] = feed_pb2.Change.FromString(change).statements
    assert set(stated.person.revoked_tokens) == {oldest.raw, old.raw}
    assert (stated.person.token, list(stated.person.rotated_tokens)) == (live, [])
    with pytest.raises(TokenNotLive) as refused:
        await tokens.rotate(old)
    assert refused.value.details == {"state": "revoked"}


async def test_a_dry_run_counts_what_would_be_done_and_changes_nothing(
    desk: Desk, tokens: TokenDesk, rows: Rows
) -> None:
    simba = await an_operator(desk)
    for _ in range(5):
        await tokens.token(simba)
    await tokens.rotate(await tokens.token(simba))
    before = await live_tokens(rows), await rows("SELECT revision FROM register.head")
    for revokes, revoked in ((False, 0), (True, 7)):
        done = await tokens.run(await tokens.start(operator_id=simba, is_dry_run=True, revokes=revokes))
        assert (done.state, done.rotated, done.revoked) == (RotationState.DONE, 6, revoked)
    assert (await live_tokens(rows), await rows("SELECT revision FROM register.head")) == before


async def test_two_registrars_at_once_give_everybody_one_new_token(
    database: Database, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rotation_runner, "GROUP", 2)
    async with desk_on(database) as one, desk_on(database) as other:
        desks = [TokenDesk(one), TokenDesk(other)]
        for _ in range(12):
            await desks[0].token()
        started = await desks[0].start_until_now()
        async with asyncio.timeout(30):
            while (await desks[0].show.one(started.rotation_id)).state is RotationState.RUNNING:
                await asyncio.gather(*(desk.runner.work_on(started.rotation_id) for desk in desks))
        done = await desks[0].show.one(started.rotation_id)
    assert (done.rotated, done.passed) == (12, 12)
    assert set(await rows("SELECT count(*) FROM register.bst_token GROUP BY person_no")) == {2}
    await verified_chain(database)


async def test_who_goes_on_begins_where_the_last_commit_ended(
    database: Database, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rotation_runner, "GROUP", 2)
    async with desk_on(database) as first:
        tokens = TokenDesk(first)
        made = [await tokens.token() for _ in range(6)]
        started = await tokens.start(tokens=made)
        assert await tokens.runner.step(started.rotation_id) is Went.ON
    async with desk_on(database) as another:
        tokens = TokenDesk(another)
        assert await tokens.runner.step(started.rotation_id) is Went.ON
        assert (await tokens.show.one(started.rotation_id)).passed == 4
        done = await tokens.run(started)
    assert (done.rotated, done.passed) == (6, 6)
    assert set(await rows("SELECT count(*) FROM register.bst_token GROUP BY person_no")) == {2}


async def test_registrations_go_on_between_the_groups(
    desk: Desk, tokens: TokenDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rotation_runner, "GROUP", 2)
    for _ in range(20):
        await tokens.token()
    started = await tokens.start_until_now()
    working = asyncio.ensure_future(tokens.run(started))
    registered = 0
    while not working.done():
        await desk.register()
        registered += 1
    done = await working
    assert (done.rotated, done.state) == (20, RotationState.DONE)
    assert registered > 1


async def test_a_cancelled_rotation_stops_where_it_is(
    tokens: TokenDesk, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rotation_runner, "GROUP", 2)
    for _ in range(6):
        await tokens.token()
    started = await tokens.start_until_now()
    await tokens.runner.step(started.rotation_id)
    ended = await tokens.cancel(started.rotation_id, "wrong operator")
    assert (ended.state, ended.rotated) == (RotationState.CANCELLED, 2)
    assert await tokens.run(started) == ended
    assert await tokens.cancel(started.rotation_id) == ended
    lines = await rows(
        "SELECT action FROM register.audit_entry WHERE action LIKE 'bst_rotation%' ORDER BY entry_id"
    )
    assert lines == ["bst_rotation.started", *["bst_rotation.cancelled"] * 2]


async def test_a_rotation_is_started_once_for_a_request_id(desk: Desk, tokens: TokenDesk, rows: Rows) -> None:
    simba, request_id = await an_operator(desk), a_request_id()
    first = await tokens.start(operator_id=simba, request_id=request_id)
    assert await tokens.start(operator_id=simba, request_id=request_id) == first
    with pytest.raises(RequestIdReused):
        await tokens.start(operator_id=simba, request_id=request_id, revokes=True)
    assert await rows("SELECT count(*) FROM register.token_rotation") == [1]


async def test_what_cannot_be_gone_over_is_refused(tokens: TokenDesk) -> None:
    now = datetime.now(UTC)
    for time in ((now, now), (now - timedelta(hours=1), now + timedelta(hours=1))):
        with pytest.raises(InvalidRequest) as refused:
            await tokens.start(minted=a_minting(*time))
        assert refused.value.field == "minted.to"
    with pytest.raises(InvalidRequest) as unknown:
        await tokens.start(operator_id=UUID(int=7))
    assert unknown.value.field == "operator_id"
    with pytest.raises(RotationNotFound):
        await tokens.show.one(UUID(int=7))
    with pytest.raises(RotationNotFound):
        await tokens.cancel(UUID(int=7))


async def test_rotations_are_listed_newest_first_in_pages(tokens: TokenDesk) -> None:
    token = await tokens.token()
    started = [(await tokens.start(tokens=[token])).rotation_id for _ in range(5)]
    listed, page_token = [], ""
    while True:
        page = await tokens.show.page(2, page_token, a_caller())
        listed += [rotation.rotation_id for rotation in page.entries]
        if not (page_token := page.next_token):
            break
    assert listed == started[::-1]
