"""One suite for the blocking and the asyncio client: what every SDK of the register must do, against a real server.

Deny by default is the whole point: whatever goes wrong, `may_play` is false; only the caller's own faults raise.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, date, datetime
from typing import Any

import pytest

import nser_client
from lookup_core.kernel import errors as kernel
from nser.lookup.v1 import lookup_pb2
from nser_client import AsyncClient, Client, Outcome
from tests.support.register_double import CHECK_ONLY_KEY, GOOD_KEY, RegisterDouble, a_bst

WANJIKU = "0712345678"
OTIENO = "0722000111"


class Sdk:
    """Either client behind one awaitable face; the blocking one runs in a thread, as its users' threads would."""

    def __init__(self, kind: type[Client] | type[AsyncClient], **options: Any) -> None:
        self.client = kind(**{"api_key": GOOD_KEY, "check_timeout_ms": 3_000, **options})

    async def __call__(self, name: str, *args: Any, **kwargs: Any) -> Any:
        method = getattr(self.client, name)
        if isinstance(self.client, Client):
            return await asyncio.to_thread(method, *args, **kwargs)
        return await method(*args, **kwargs)

    async def close(self) -> None:
        await self("close")


MakeSdk = Callable[..., Sdk]


@pytest.fixture(params=[Client, AsyncClient], ids=["blocking", "asyncio"])
async def make_sdk(request: pytest.FixtureRequest) -> AsyncIterator[MakeSdk]:
    made: list[Sdk] = []

    def make(*doubles: RegisterDouble | str, **options: Any) -> Sdk:
        addresses = [each if isinstance(each, str) else each.address for each in doubles]
        made.append(Sdk(request.param, replicas=addresses, **{"registrar": addresses[0], **options}))
        for client in (made[-1].client,):
            client._plans._retry.replicas._preferred = (
                0  # the first address first, so that a test knows who is asked
            )
        return made[-1]

    yield make
    for sdk in made:
        await sdk.close()


@pytest.fixture
async def double() -> AsyncIterator[RegisterDouble]:
    server = await RegisterDouble().start()
    yield server
    await server.stop()


@pytest.fixture
async def other() -> AsyncIterator[RegisterDouble]:
    server = await RegisterDouble().start()
    yield server
    await server.stop()


# -- deny by default


async def test_only_a_not_excluded_may_play(make_sdk: MakeSdk, double: RegisterDouble) -> None:
    double.excluded.add(WANJIKU)
    sdk = make_sdk(double)
    assert (await sdk("check", phone=OTIENO)).may_play
    decision = await sdk("check", phone=WANJIKU, id_number="12345678")
    assert (decision.outcome, decision.basis, decision.may_play) == (Outcome.EXCLUDED, "PHONE", False)


async def test_a_decision_has_no_truth_value(make_sdk: MakeSdk, double: RegisterDouble) -> None:
    decision = await make_sdk(double)("check", phone=OTIENO)
    with pytest.raises(TypeError, match="may_play"):
        bool(decision)


@pytest.mark.parametrize(
    "answer",
    [
        lookup_pb2.Answer(),
        lookup_pb2.Answer(outcome=lookup_pb2.OUTCOME_UNSPECIFIED, revision="x"),
        lookup_pb2.Answer(outcome=77),  # type: ignore[arg-type]
        lookup_pb2.Answer(outcome=lookup_pb2.OUTCOME_INDETERMINATE),
        lookup_pb2.Answer(outcome=lookup_pb2.OUTCOME_NOT_EXCLUDED, basis=lookup_pb2.BASIS_PHONE),
        lookup_pb2.Answer(
            outcome=lookup_pb2.OUTCOME_NOT_EXCLUDED, reason=lookup_pb2.INDETERMINATE_REASON_REGISTER_STALE
        ),
    ],
    ids=["empty", "unspecified", "unknown number", "no reason", "contradicts itself", "cleared while stale"],
)
async def test_an_answer_that_cannot_be_read_denies(
    make_sdk: MakeSdk, double: RegisterDouble, answer: lookup_pb2.Answer
) -> None:
    for method in ("Check", "StreamCheck"):
        double.script(method, lookup_pb2.CheckResponse(answer=answer))
    decision = await make_sdk(double)("check", phone=OTIENO)
    assert (decision.outcome, decision.reason) == (Outcome.INDETERMINATE, "UNKNOWN_ANSWER")
    assert not decision.may_play


async def test_an_unknown_risk_level_or_basis_changes_no_outcome(
    make_sdk: MakeSdk, double: RegisterDouble
) -> None:
    answer = lookup_pb2.Answer(outcome=lookup_pb2.OUTCOME_EXCLUDED, basis=99, risk_level=99)  # type: ignore[arg-type]
    for method in ("Check", "StreamCheck"):
        double.script(method, lookup_pb2.CheckResponse(answer=answer))
    decision = await make_sdk(double)("check", phone=OTIENO)
    assert (decision.outcome, decision.basis, decision.risk_level) == (Outcome.EXCLUDED, None, "unknown")


async def test_a_batch_that_answers_for_too_few_clears_nobody(
    make_sdk: MakeSdk, double: RegisterDouble
) -> None:
    cleared = lookup_pb2.Answer(outcome=lookup_pb2.OUTCOME_NOT_EXCLUDED)
    double.script("BatchCheck", lookup_pb2.BatchCheckResponse(answers=[cleared]))
    decisions = await make_sdk(double)("check_many", [{"phone": WANJIKU}, {"phone": OTIENO}])
    assert [decision.may_play for decision in decisions] == [False, False]


# -- outages


async def test_an_outage_denies_and_says_why(make_sdk: MakeSdk) -> None:
    sdk = make_sdk("127.0.0.1:1")
    decision = await sdk("check", phone=OTIENO)
    assert (decision.outcome, decision.reason, decision.may_play) == ("INDETERMINATE", "UNREACHABLE", False)
    assert isinstance(decision.error, nser_client.Unreachable)
    many = await sdk("check_many", [{"phone": OTIENO}, {"phone": WANJIKU}])
    assert [(each.reason, each.may_play) for each in many] == [("UNREACHABLE", False)] * 2


async def test_an_outage_raises_where_that_is_asked_for(make_sdk: MakeSdk) -> None:
    sdk = make_sdk("127.0.0.1:1", raise_on_outage=True)
    with pytest.raises(nser_client.Unavailable):
        await sdk("check", phone=OTIENO)
    with pytest.raises(nser_client.Unavailable):
        await sdk("check_many", [{"phone": OTIENO}])


async def test_a_replica_that_is_away_is_replaced_by_another(
    make_sdk: MakeSdk, double: RegisterDouble
) -> None:
    sdk = make_sdk("127.0.0.1:1", double)
    assert (await sdk("check", phone=OTIENO)).may_play
    assert (await sdk("check", phone=OTIENO)).may_play


async def test_a_stale_replica_is_not_believed_and_another_is_asked_once(
    make_sdk: MakeSdk, double: RegisterDouble, other: RegisterDouble
) -> None:
    double.stale = True
    sdk = make_sdk(double, other)
    assert (await sdk("check", phone=OTIENO)).may_play
    assert len(double.calls) >= 1
    other.stale = True
    decision = await sdk("check", phone=OTIENO)
    assert (decision.reason, decision.may_play) == ("REGISTER_STALE", False)
    assert len([call for call in double.calls + other.calls if call.method in {"Check", "StreamCheck"}]) == 4


async def test_a_stale_item_of_a_batch_has_the_batch_asked_elsewhere(
    make_sdk: MakeSdk, double: RegisterDouble, other: RegisterDouble
) -> None:
    double.stale = True
    double.excluded.add(WANJIKU)
    other.excluded.add(WANJIKU)
    decisions = await make_sdk(double, other)("check_many", [{"phone": WANJIKU}, {"phone": OTIENO}])
    assert [decision.outcome for decision in decisions] == [Outcome.EXCLUDED, Outcome.NOT_EXCLUDED]


async def test_excluded_is_believed_even_of_a_stale_replica(
    make_sdk: MakeSdk, double: RegisterDouble, other: RegisterDouble
) -> None:
    double.stale = True
    double.excluded.add(WANJIKU)
    assert (await make_sdk(double, other)("check", phone=WANJIKU)).outcome is Outcome.EXCLUDED
    assert other.calls == []


async def test_a_replica_that_does_not_answer_is_denied_by_the_deadline(
    make_sdk: MakeSdk, double: RegisterDouble
) -> None:
    double.held = asyncio.Event()
    sdk = make_sdk(double, check_timeout_ms=200)
    began = time.monotonic()
    decision = await sdk("check", phone=OTIENO)
    assert (decision.reason, decision.may_play) == ("DEADLINE_EXCEEDED", False)
    assert time.monotonic() - began < 2
    double.held.set()


@pytest.mark.parametrize(
    "refusal",
    [kernel.ReplicaLoading(retry_after_ms=1), kernel.Draining(retry_after_ms=1)],
    ids=lambda r: r.reason,
)
async def test_unavailable_is_asked_again(
    make_sdk: MakeSdk, double: RegisterDouble, refusal: kernel.Refused
) -> None:
    for method in ("Check", "StreamCheck"):
        double.script(method, refusal)
    assert (await make_sdk(double)("check", phone=OTIENO)).may_play


async def test_retry_info_beyond_the_deadline_denies_at_once(
    make_sdk: MakeSdk, double: RegisterDouble
) -> None:
    for method in ("Check", "StreamCheck"):
        double.script(method, kernel.ReplicaLoading(retry_after_ms=60_000))
    began = time.monotonic()
    decision = await make_sdk(double)("check", phone=OTIENO)
    assert (decision.reason, decision.may_play) == ("REPLICA_LOADING", False)
    assert time.monotonic() - began < 2


async def test_only_unavailable_is_asked_again(make_sdk: MakeSdk, double: RegisterDouble) -> None:
    double.script("BatchCheck", kernel.InternalFault("abc123"))
    decisions = await make_sdk(double)("check_many", [{"phone": OTIENO}])
    assert (decisions[0].reason, decisions[0].error.correlation_id) == ("INTERNAL", "abc123")
    assert len(double.called("BatchCheck")) == 1


async def test_a_used_up_quota_denies_and_says_when_to_come_back(
    make_sdk: MakeSdk, double: RegisterDouble
) -> None:
    double.script("BatchCheck", kernel.QuotaExceeded("people", 20_000, 250))
    (decision,) = await make_sdk(double)("check_many", [{"phone": OTIENO}])
    assert (decision.reason, decision.may_play, decision.error.retry_after_ms) == (
        "QUOTA_EXCEEDED",
        False,
        250,
    )


# -- the caller's own faults raise


async def test_a_wrong_key_raises(make_sdk: MakeSdk, double: RegisterDouble) -> None:
    with pytest.raises(nser_client.CredentialsInvalid):
        await make_sdk(double, api_key="nser_test_wrong")("check", phone=OTIENO)


async def test_a_purpose_that_the_key_lacks_raises_for_that_check_alone(
    make_sdk: MakeSdk, double: RegisterDouble
) -> None:
    sdk = make_sdk(double, api_key=CHECK_ONLY_KEY)
    answers = await asyncio.gather(
        sdk("check", phone=OTIENO), sdk("check", phone=OTIENO, purpose="marketing"), return_exceptions=True
    )
    assert not isinstance(answers[0], BaseException)
    assert answers[0].may_play
    assert isinstance(answers[1], nser_client.NotPermitted)


async def test_an_identity_that_cannot_be_read_raises_and_names_the_field(
    make_sdk: MakeSdk, double: RegisterDouble
) -> None:
    with pytest.raises(nser_client.InvalidRequest) as caught:
        await make_sdk(double)("check", phone="0150123456")
    assert caught.value.field == "phone"
    assert "0150123456" not in repr(caught.value)


async def test_one_bad_item_of_a_batch_spoils_no_other(make_sdk: MakeSdk, double: RegisterDouble) -> None:
    decisions = await make_sdk(double)("check_many", [{"phone": "12"}, {"phone": OTIENO}])
    assert [(d.may_play, d.error and d.error.reason) for d in decisions] == [
        (False, "INVALID_IDENTITY"),
        (True, None),
    ]


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({}, "phone"),
        ({"bst": "BST-02-A", "phone": OTIENO}, "bst"),
        ({"id_type": "passport"}, "id_number"),
        ({"id_number": "1", "id_type": "library_card"}, "id_type"),
        ({"phone": OTIENO, "purpose": "curiosity"}, "purpose"),
        ({"phone": "\ud800"}, "phone"),
        ({"phone": OTIENO, "at_least": "x", "fully_consistent": True}, "at_least"),
    ],
)
async def test_what_cannot_be_sent_is_refused_here(
    make_sdk: MakeSdk, double: RegisterDouble, arguments: dict[str, Any], field: str
) -> None:
    with pytest.raises(nser_client.InvalidRequest) as caught:
        await make_sdk(double)("check", **arguments)
    assert caught.value.field == field
    assert double.calls == []


async def test_a_batch_above_ten_thousand_is_refused_here(make_sdk: MakeSdk, double: RegisterDouble) -> None:
    with pytest.raises(nser_client.BatchTooLarge):
        await make_sdk(double)("check_many", [{"phone": OTIENO}] * 10_001)
    assert await make_sdk(double)("check_many", []) == []


async def test_a_closed_client_says_so(make_sdk: MakeSdk, double: RegisterDouble) -> None:
    sdk = make_sdk(double)
    await sdk.close()
    with pytest.raises(nser_client.Misuse, match="closed"):
        await sdk("check", phone=OTIENO)


# -- freshness


async def test_consistency_and_key_travel_with_the_check(make_sdk: MakeSdk, double: RegisterDouble) -> None:
    sdk = make_sdk(double)
    await sdk("check", phone=OTIENO, at_least="abc", purpose="age")
    await sdk("check", phone=OTIENO, fully_consistent=True)
    first, second = double.called("Check")
    assert (first.consistency.at_least, first.purpose) == ("abc", lookup_pb2.PURPOSE_AGE)
    assert second.consistency.fully_consistent
    assert double.calls[0].metadata["authorization"] == f"Bearer {GOOD_KEY}"


async def test_a_revision_not_reached_denies(make_sdk: MakeSdk, double: RegisterDouble) -> None:
    double.script("Check", *[kernel.RevisionNotReached(retry_after_ms=1)] * 2)
    decision = await make_sdk(double)("check", phone=OTIENO, at_least="abc")
    assert (decision.reason, decision.may_play) == ("REVISION_NOT_REACHED", False)


# -- tokens at a check


async def test_ensure_bst_mints_for_a_person_who_has_none(make_sdk: MakeSdk, double: RegisterDouble) -> None:
    sdk = make_sdk(double)
    assert (await sdk("check", phone=OTIENO)).bst is None
    assert (await sdk("check", phone=OTIENO, ensure_bst=True)).bst == a_bst(OTIENO)
    await sdk("check", phone=OTIENO, ensure_bst=True)
    assert len(double.called("Generate")) == 1


async def test_without_a_registrar_the_bst_is_missing_and_the_answer_stands(
    make_sdk: MakeSdk, double: RegisterDouble
) -> None:
    double.script("Generate", *[kernel.StoreUnreachable(retry_after_ms=1)] * 100)
    for sdk in (make_sdk(double), make_sdk(double, registrar=None), make_sdk(double, api_key=CHECK_ONLY_KEY)):
        decision = await sdk("check", phone=OTIENO, ensure_bst=True)
        assert (decision.may_play, decision.bst) == (True, None)


async def test_a_rotation_is_repeated_with_one_request_id(make_sdk: MakeSdk, double: RegisterDouble) -> None:
    double.script("Rotate", kernel.StoreUnreachable(retry_after_ms=1))
    rotated = await make_sdk(double)("rotate_bst", a_bst(OTIENO), reason="lost laptop")
    assert rotated.replaces == a_bst(OTIENO) != rotated.bst
    first, second = double.called("Rotate")
    assert first == second


@pytest.mark.parametrize("refused", [kernel.TokenNotLive("rotated"), kernel.TokenNotFound()])
async def test_a_rotation_that_is_refused_raises_the_reason_with_the_request_id(
    make_sdk: MakeSdk, double: RegisterDouble, refused: kernel.Refused
) -> None:
    double.script("Rotate", refused)
    with pytest.raises(nser_client.errors.BY_REASON[refused.reason]) as raised:
        await make_sdk(double)("rotate_bst", a_bst(OTIENO), reason="lost laptop")
    assert raised.value.request_id == double.called("Rotate")[0].request_id


async def test_a_history_is_read_page_by_page(make_sdk: MakeSdk, double: RegisterDouble) -> None:
    sdk = make_sdk(double)
    first = await sdk("bst_history", a_bst(OTIENO), page_size=1)
    last = await sdk("bst_history", a_bst(OTIENO), page_token=first.next)
    assert [use.action for page in (first, last) for use in page.uses] == ["checked", "generated"]
    assert (first.uses[0].operator, last.uses[0].operator, last.next) == ("Bet Ltd", None, None)


# -- writes


async def test_a_registration_answers_in_the_words_of_the_contract(
    make_sdk: MakeSdk, double: RegisterDouble
) -> None:
    exclusion = await make_sdk(double)(
        "register",
        phone=WANJIKU,
        id_number="12345678",
        date_of_birth=date(1990, 2, 28),
        period="1_year",
        county=47,
    )
    assert (exclusion.state, exclusion.period, exclusion.expiry_date) == (
        "active",
        "1_year",
        date(2027, 11, 25),
    )
    assert exclusion.effective_at == datetime(2026, 11, 25, 9, 18, tzinfo=UTC)
    (request,) = double.called("Register")
    assert (request.date_of_birth, request.document.number, request.county) == ("1990-02-28", "12345678", 47)
    longer = await make_sdk(double)("extend", exclusion.id, period="permanent")
    assert longer.period == "permanent"
    assert (await make_sdk(double)("get", exclusion.id)).period == "permanent"


async def test_recorded_and_not_confirmed_is_confirmed_with_the_same_request_id(
    make_sdk: MakeSdk, double: RegisterDouble
) -> None:
    unconfirmed = kernel.RecordedNotConfirmed("id-1", "rev-1")
    unconfirmed.retry_after_ms = 1
    double.script("Register", kernel.StoreUnreachable(retry_after_ms=1), unconfirmed)
    await make_sdk(double)("register", phone=WANJIKU, period="24_hours")
    assert len({request.request_id for request in double.called("Register")}) == 1
    assert len(double.called("Register")) == 3


async def test_what_stays_unconfirmed_says_that_it_is_recorded(
    make_sdk: MakeSdk, double: RegisterDouble
) -> None:
    unconfirmed = kernel.RecordedNotConfirmed("id-1", "rev-1")
    unconfirmed.retry_after_ms = 1
    double.script("Register", unconfirmed, *[kernel.StoreUnreachable(retry_after_ms=100)] * 100)
    with pytest.raises(nser_client.RecordedNotConfirmed, match="recorded") as caught:
        await make_sdk(double, write_timeout_ms=300)(
            "register", phone=WANJIKU, period="24_hours", request_id="r-1"
        )
    assert (caught.value.request_id, caught.value.details["id"]) == ("r-1", "id-1")


async def test_a_refused_write_raises_the_name_of_its_reason(
    make_sdk: MakeSdk, double: RegisterDouble
) -> None:
    sdk = make_sdk(double)
    double.script("Extend", kernel.PeriodNotLonger(None))
    with pytest.raises(nser_client.PeriodNotLonger) as caught:
        await sdk("extend", "7c1b3c9e-0000-4000-8000-000000000000", period="7_days")
    assert (caught.value.field, caught.value.reason) == ("period", "PERIOD_NOT_LONGER")
    with pytest.raises(nser_client.ExclusionNotFound):
        await sdk("get", "7c1b3c9e-0000-4000-8000-000000000000")


async def test_the_other_calls(make_sdk: MakeSdk, double: RegisterDouble) -> None:
    sdk = make_sdk(double)
    stats = await sdk("stats", from_date=date(2026, 1, 1), group_by="period")
    assert [(cell.group, cell.count) for cell in stats.cells] == [("1_year", 12), ("permanent", None)]
    token = await sdk("generate_bst", phone=OTIENO)
    assert (token.created, token.version) == (True, 2)
    assert (await sdk("validate_bst", token.bst)).valid
    assert (await sdk("validate_bst", "nonsense")).status == "malformed"
    key = await sdk("create_key", operator="Bet Ltd", scopes=["check:exclusion"])
    assert key.secret == "nser_test_k1_secret"
    assert key.secret not in repr(key)
    own = await sdk("create_key", operator="Own Ltd", scopes=["check:exclusion"], token_kind="pairwise")
    assert own.token_kind == "pairwise"
    with pytest.raises(nser_client.InvalidRequest, match="global, pairwise"):
        await sdk("create_key", operator="Own Ltd", scopes=["check:exclusion"], token_kind="secret")
    assert [(key.key_id, key.active) for key in await sdk("list_keys")] == [("k1", True), ("k2", False)]
    assert not (await sdk("revoke_key", key.key_id)).active


def test_both_clients_have_the_same_calls_with_the_same_arguments() -> None:
    def calls(kind: type) -> dict[str, inspect.Signature]:
        return {
            name: inspect.signature(value)
            for name, value in vars(kind).items()
            if callable(value)
            and not name.startswith("_")
            and value.__doc__
            and hasattr(value, "__wrapped__")
        }

    assert calls(Client) == calls(AsyncClient)
    assert set(calls(Client)) == {
        *("check", "check_many", "register", "extend", "get", "stats"),
        *(
            "generate_bst",
            "validate_bst",
            "rotate_bst",
            "bst_history",
            "receipts",
            "create_key",
            "list_keys",
            "revoke_key",
        ),
    }
