"""Operators with tokens of their own, on a real PostgreSQL: what they are shown, and what others' tokens are worth."""

from __future__ import annotations

import grpc
import pytest

from lookup_core.domain import bst
from lookup_core.domain.bst import Token, format_token
from lookup_core.domain.ids import OperatorId
from lookup_core.domain.pairwise import TokenKind
from lookup_core.kernel.errors import InvalidRequest
from lookup_core.registrar import statements
from lookup_core.registrar.create_key import NewKey
from lookup_core.registrar.people.pairwise import turn
from lookup_core.registrar.recording import Ledger
from lookup_core.registrar.store.port import Transaction
from lookup_core.registrar.validate_token import TokenStatus
from nser.access.v1 import access_pb2
from nser.audit.v1 import receipts_pb2, receipts_pb2_grpc
from nser.bst.v1 import bst_pb2
from nser.feed.v1 import feed_pb2
from nser.register.v1 import register_pb2
from tests.integration.registrar.conftest import Rows
from tests.support.people import someone
from tests.support.registrar_desk import Desk, a_request_id, an_identity
from tests.support.running_registrar import running_registrar
from tests.support.services import Database

pytestmark = pytest.mark.services

PAIRWISE = TokenKind.PAIRWISE


async def an_operator(desk: Desk, name: str, kind: TokenKind | None = PAIRWISE) -> OperatorId:
    created = await desk.create_key(NewKey(name, ("nser:read",), token_kind=kind))
    return created.key.operator_id


async def rotate(desk: Desk, person_no: int) -> None:
    """One revision that takes a person's pairwise tokens further, as a rotation does."""
    ledger = Ledger(desk.ring.feed)

    async def act(tx: Transaction) -> None:
        [person] = (await tx.lock_people([person_no])).values()  # type: ignore[list-item]
        turned = await turn(tx, person)
        await tx.record(await ledger.take(tx, statements.change(statements.of_person(turned))))

    await desk.store.write(act)


async def test_each_operator_gets_a_token_of_its_own_and_the_same_one_again(desk: Desk) -> None:
    simba, twiga = await an_operator(desk, "Simba"), await an_operator(desk, "Twiga")
    wanjiku = an_identity(someone())
    first = await desk.generate(wanjiku, operator_id=simba, token_kind=PAIRWISE)
    other = await desk.generate(wanjiku, operator_id=twiga, token_kind=PAIRWISE)
    again = await desk.generate(wanjiku, operator_id=simba, token_kind=PAIRWISE)
    assert {each.shown.version for each in (first, other, again)} == {bst.PAIRWISE}
    assert format_token(first.shown).startswith("BST-03-")
    assert again.shown == first.shown != other.shown
    assert first.token == other.token, "one global token inside, which neither is shown"


async def test_when_another_operator_had_theirs_is_told_to_nobody(desk: Desk) -> None:
    simba, twiga = await an_operator(desk, "Simba"), await an_operator(desk, "Twiga")
    wanjiku = an_identity(someone())
    first = await desk.generate(wanjiku, operator_id=simba, token_kind=PAIRWISE)
    other = await desk.generate(wanjiku, operator_id=twiga, token_kind=PAIRWISE)
    again = await desk.generate(wanjiku, operator_id=simba, token_kind=PAIRWISE)
    assert (first.is_new, other.is_new, again.is_new) == (True, True, False)
    assert again.created_at == first.created_at < other.created_at


async def test_who_knows_whom_is_noted_inside_the_register_alone(desk: Desk, rows: Rows) -> None:
    simba = await an_operator(desk, "Simba")
    generated = await desk.generate(an_identity(someone()), operator_id=simba, token_kind=PAIRWISE)
    known = await rows("SELECT token, operator_id FROM register.bst_cross_reference")
    assert known == [(generated.token.raw, simba)]
    stored = await rows("SELECT token FROM register.bst_token")
    assert generated.shown.raw not in stored, "a pairwise token is stored nowhere"


async def test_anothers_token_and_a_made_up_one_are_the_same_answer(desk: Desk) -> None:
    simba, twiga = await an_operator(desk, "Simba"), await an_operator(desk, "Twiga")
    generated = await desk.generate(an_identity(someone()), operator_id=simba, token_kind=PAIRWISE)
    made_up = format_token(Token(b"x" * 16, bst.PAIRWISE))
    text = format_token(generated.shown)
    mine = await desk.validate(text, operator_id=simba, token_kind=PAIRWISE)
    others = await desk.validate(text, operator_id=twiga, token_kind=PAIRWISE)
    nobodys = await desk.validate(made_up, operator_id=twiga, token_kind=PAIRWISE)
    by_nobody = await desk.validate(text)
    assert mine.status is TokenStatus.LIVE
    assert others.status is TokenStatus.UNKNOWN
    assert others == nobodys == by_nobody
    wrong = text[:-1] + ("0" if text[-1] != "0" else "1")
    assert (await desk.validate(wrong, operator_id=simba)).status is TokenStatus.MALFORMED


async def test_a_person_whom_the_register_does_not_have_is_unknown_by_token_too(desk: Desk) -> None:
    simba = await an_operator(desk, "Simba")
    generated = await desk.generate(an_identity(someone()), operator_id=simba, token_kind=PAIRWISE)
    bearer = desk.secrets.pairing.open(simba, generated.shown)
    assert bearer is not None
    for number, generation in (
        (bearer.holder.person_no + 1, 0),
        (bearer.holder.person_no, 1),
        (2**64 - 1, 0),
    ):
        holder = type(bearer.holder)(number, generation)  # type: ignore[arg-type]
        text = format_token(desk.secrets.pairing.mint(simba, holder))
        assert (await desk.validate(text, operator_id=simba)).status is TokenStatus.UNKNOWN


async def test_a_rotated_token_still_resolves_and_the_next_one_is_another(desk: Desk, rows: Rows) -> None:
    simba, twiga = await an_operator(desk, "Simba"), await an_operator(desk, "Twiga")
    wanjiku = an_identity(someone())
    before = await desk.generate(wanjiku, operator_id=simba, token_kind=PAIRWISE)
    others = await desk.generate(wanjiku, operator_id=twiga, token_kind=PAIRWISE)
    [person_no] = await rows("SELECT person_no FROM register.person")
    await rotate(desk, person_no)
    after = await desk.generate(wanjiku, operator_id=simba, token_kind=PAIRWISE)
    assert after.shown != before.shown
    for operator, token, status in (
        (simba, before.shown, TokenStatus.ROTATED),
        (simba, after.shown, TokenStatus.LIVE),
        (twiga, others.shown, TokenStatus.ROTATED),
    ):
        assert (await desk.validate(format_token(token), operator_id=operator)).status is status
    [stated] = await rows("SELECT statements FROM register.change ORDER BY revision DESC LIMIT 1")
    assert feed_pb2.Change.FromString(stated).statements[0].person.pairwise_generation == 1
    assert after.token == before.token


async def test_a_kind_is_chosen_with_the_first_key_and_never_changed(desk: Desk, rows: Rows) -> None:
    simba, twiga = await an_operator(desk, "Simba"), await an_operator(desk, "Twiga", None)
    assert await rows("SELECT token_kind FROM register.operator ORDER BY name") == ["pairwise", "global"]
    assert await an_operator(desk, "Simba", None) == await an_operator(desk, "Simba") == simba
    assert await an_operator(desk, "Twiga", TokenKind.GLOBAL) == twiga
    for name, kind in (("Simba", TokenKind.GLOBAL), ("Twiga", PAIRWISE)):
        with pytest.raises(InvalidRequest) as refused:
            await an_operator(desk, name, kind)
        assert refused.value.field == "token_kind"
    changes = await rows("SELECT statements FROM register.change WHERE revision > 0 ORDER BY revision")
    keys = [feed_pb2.Change.FromString(change).statements[0].key for change in changes]
    assert [key.has_pairwise_tokens for key in keys] == [True, False, True, True, False]
    fed = await rows("SELECT has_pairwise_tokens FROM register.feed_key ORDER BY 1")
    assert fed == [False, False, True, True, True]


async def test_no_answer_of_the_registrar_shows_a_pairwise_operator_a_global_token(
    database: Database, rows: Rows
) -> None:
    async with running_registrar(database) as running:
        admin = await running.key("nser:admin", operator="GRAK")
        keys = []
        for name in ("Simba", "Twiga"):
            request = access_pb2.CreateKeyRequest(
                request_id=str(a_request_id()),
                operator=name,
                scopes=["nser:read", "nser:write", "bst:read", "bst:write"],
                token_kind=access_pb2.TOKEN_KIND_PAIRWISE,
            )
            made = await running.access.CreateKey(request, metadata=admin)
            assert made.key.token_kind == access_pb2.TOKEN_KIND_PAIRWISE
            keys.append((("authorization", f"Bearer {made.secret}"),))
        wanjiku = someone()
        registration = wanjiku.registration()
        registered = await running.register.Register(registration, metadata=keys[0])
        repeated = await running.register.Register(registration, metadata=keys[0])
        assert registered.exclusion.bst.startswith("BST-03-")
        assert repeated == registered
        generated = await running.bst.Generate(bst_pb2.GenerateRequest(phone=wanjiku.phone), metadata=keys[0])
        assert (generated.bst, generated.version) == (registered.exclusion.bst, 3)
        by_id = register_pb2.GetRequest(id=registered.exclusion.id)
        shown = [(await running.register.Get(by_id, metadata=key)).exclusion.bst for key in (*keys, admin)]
        assert shown[0] == registered.exclusion.bst
        assert [text[:7] for text in shown] == ["BST-03-", "BST-03-", "BST-02-"]
        assert len(set(shown)) == 3
        # A token of either kind is taken.
        for text in (shown[0], shown[2]):
            valid = await running.bst.Validate(bst_pb2.ValidateRequest(bst=text), metadata=keys[0])
            assert valid.status == bst_pb2.TOKEN_STATUS_LIVE
        # Nor one that is in a receipt: what is sealed has the global one.
        receipts = receipts_pb2_grpc.ReceiptServiceStub(running.channel)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await receipts.Fetch(receipts_pb2.FetchRequest(bst=shown[2]), metadata=keys[0])
        assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
        # The register's own records keep the token that everybody has; no operator reads them.
        [event] = await rows("SELECT payload ->> 'bst' FROM register.outbox")
        assert event == shown[2]
