"""A token's history: who used it, when and for what; what each caller may see; and that a reading is audited."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from lookup_core.domain import bst
from lookup_core.domain.bst import format_token
from lookup_core.kernel.errors import AuditUnavailable, InvalidRequest, TokenNotFound
from lookup_core.registrar.create_key import NewKey
from tests.integration.registrar.conftest import Rows
from tests.support.registrar_desk import Desk
from tests.support.token_desk import TokenDesk

pytestmark = pytest.mark.services

NOON = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)


@pytest.fixture
async def tokens(desk: Desk, rows: Rows) -> TokenDesk:
    await rows("SELECT register.ensure_lookup_log(0)")
    return TokenDesk(desk)


async def an_operator(desk: Desk, name: str) -> tuple[Any, str]:
    """Its id, and the actor that its key is."""
    key = (await desk.create_key(NewKey(name, ("bst:read", "bst:write")))).key
    return key.operator_id, f"key {key.key_id}"


async def checked(
    rows: Rows,
    token: bst.Token,
    operator_id: Any,
    at: datetime,
    *,
    sequence: int = 1,
    purpose: str = "exclusion",
) -> None:
    """An entry of the lookup log, as a replica ships it."""
    await rows(
        "INSERT INTO register.lookup_log (at, replica_id, sequence, operator_id, key_id, purpose, outcome, token, "
        "revision, correlation_id) VALUES ($1, $2, $3, $4, 'k', $5, 'EXCLUDED', $6, 1, 'c')",
        *(at, UUID(int=1), sequence, operator_id, purpose, token.raw),
    )


def acts(uses: Any) -> list[tuple[str, str, str]]:
    return [(use.operator, use.action, use.purpose) for use in uses]


async def test_uses_of_every_token_of_the_person_are_told_newest_first(
    desk: Desk, tokens: TokenDesk, rows: Rows
) -> None:
    simba, actor = await an_operator(desk, "Simba Bet")
    twiga, _ = await an_operator(desk, "Twiga Bet")
    old = await tokens.token(simba)
    await checked(rows, old, simba, NOON)
    new = (await tokens.rotate(old, reason="lost laptop", actor=actor, operator_id=simba)).token
    await checked(rows, new, twiga, NOON + timedelta(minutes=1), purpose="marketing")
    for asked in (old, new):
        told = acts((await tokens.history(asked)).entries)
        assert told[0] == ("Twiga Bet", "checked", "marketing")
        assert ("Simba Bet", "checked", "exclusion") in told
        assert ("Simba Bet", "rotated", "lost laptop") in told
        assert told.count(("Simba Bet", "disclosed", "")) == 1  # a rotation tells nobody of the person anew
        assert ("", "generated", "") in told


async def test_an_operator_sees_its_own_uses_alone(desk: Desk, tokens: TokenDesk, rows: Rows) -> None:
    (simba, _), (twiga, _) = await an_operator(desk, "Simba Bet"), await an_operator(desk, "Twiga Bet")
    token = await tokens.token(simba)
    await checked(rows, token, simba, NOON)
    await checked(rows, token, twiga, NOON, sequence=2)
    page = await tokens.history(token, sees_all=False, operator_id=twiga)
    assert acts(page.entries) == [("Twiga Bet", "checked", "exclusion")]


async def test_a_token_of_another_operator_is_as_unknown_as_one_that_nobody_has(
    desk: Desk, tokens: TokenDesk
) -> None:
    (simba, _), (twiga, _) = await an_operator(desk, "Simba Bet"), await an_operator(desk, "Twiga Bet")
    said = set()
    for token in (await tokens.token(simba), bst.Token(bytes(16))):
        with pytest.raises(TokenNotFound) as refused:
            await tokens.history(token, sees_all=False, operator_id=twiga)
        said.add((refused.value.message, refused.value.field))
    assert len(said) == 1


async def test_pages_tell_everything_once_though_much_happened_at_one_instant(
    desk: Desk, tokens: TokenDesk, rows: Rows
) -> None:
    simba, _ = await an_operator(desk, "Simba Bet")
    token = await tokens.token()
    for sequence in range(12):
        await checked(rows, token, simba, NOON + timedelta(seconds=sequence // 5), sequence=sequence)
    seen: list[Any] = []
    page_token = ""
    while True:
        page = await tokens.history(token, size=5, page=page_token)
        seen += [use for use in page.entries if use.action == "checked"]
        if not (page_token := page.next_token):
            break
    assert len({use.place for use in seen}) == len(seen) == 12
    assert [use.place.at for use in seen] == sorted((use.place.at for use in seen), reverse=True)


async def test_a_page_token_goes_on_in_its_own_history_alone(
    desk: Desk, tokens: TokenDesk, rows: Rows
) -> None:
    simba, _ = await an_operator(desk, "Simba Bet")
    token, other = await tokens.token(simba), await tokens.token(simba)
    await checked(rows, token, simba, NOON)
    page = await tokens.history(token, size=1)
    for asked in ({"token": other}, {"token": token, "sees_all": False, "operator_id": simba}):
        with pytest.raises(InvalidRequest) as refused:
            await tokens.history(**asked, page=page.next_token)
        assert refused.value.field == "page_token"


async def test_a_reading_is_audited_and_not_told_where_it_cannot_be(
    desk: Desk, tokens: TokenDesk, rows: Rows
) -> None:
    token = await tokens.token()
    await tokens.history(token)
    read = "SELECT subject FROM register.audit_entry WHERE action = 'bst.history_read'"
    assert await rows(read) == [format_token(token)]
    await rows("ALTER TABLE register.audit_entry ADD CONSTRAINT shut CHECK (action = 'nothing') NOT VALID")
    with pytest.raises(AuditUnavailable):
        await tokens.history(token)
