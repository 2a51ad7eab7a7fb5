"""From a check to its receipt, through every process and PostgreSQL, and what is done to the log in between."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest

from lookup_core.audit.log import Log
from lookup_core.domain.bst import Token, format_token
from lookup_core.domain.lookup_segment import SealedSegment, SegmentTree
from lookup_core.domain.pairwise import TokenKind
from lookup_core.kernel.clock import SystemClock
from lookup_core.registrar.create_key import NewKey
from lookup_core.registrar.receipt_proofs import Prover, ReceiptKeys
from lookup_core.registrar.store.lookup_log import Place, PostgresLookupLog, StoredSegment
from lookup_core.registrar.store.pool import open_pool
from nser_client import InvalidRequest, NotPermitted, Receipt
from nser_client.proofs import ProofRefused
from nser_client.receipt_proofs import verify_receipt
from nser_client.receipts import Inclusion
from tests.support.people import someone
from tests.support.receipts_desk import ReceiptsDesk
from tests.support.registrar_desk import RING, a_request_id

pytestmark = pytest.mark.services

VERIFIER = Path(__file__).parents[3] / "clients" / "verifier" / "verify_nser.py"
NOBODY = format_token(Token(bytes(16)))


def independently_verified(path: Path, log_key: str) -> str:
    """What the verifier says that uses none of our code."""
    command = [sys.executable, str(VERIFIER), "receipt", str(path), "--log-key", log_key]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


async def edited(desk: ReceiptsDesk, statement: str, *arguments: object) -> None:
    """What somebody can do who has all rights in the database."""
    async with desk.owner.transaction():
        await desk.owner.execute("SET LOCAL session_replication_role = replica")
        assert await desk.owner.execute(statement, *arguments) != "UPDATE 0"


async def test_a_check_has_a_receipt_that_one_public_key_verifies(desk: ReceiptsDesk, tmp_path: Path) -> None:
    begun = datetime.now(UTC)
    decision = await desk.excluded(someone())
    await desk.sealed()
    (receipt,) = (await desk.operator.receipts(bst=decision.bst)).receipts
    proved = verify_receipt(receipt, desk.log_key)
    assert (proved.outcome, proved.bst, proved.purpose) == ("EXCLUDED", decision.bst, "exclusion")
    assert begun < proved.at < receipt.issued_at
    assert proved.checkpoint.size > 0
    path = tmp_path / "receipt.json"
    receipt.save(path)
    assert Receipt.load(path) == receipt
    said = await asyncio.to_thread(independently_verified, path, desk.log_key)
    assert "EXCLUDED" in said
    assert json.loads(path.read_text())["format"] == "nser-receipt-1"


async def test_another_operators_check_is_as_one_that_nobody_made(desk: ReceiptsDesk) -> None:
    decision = await desk.excluded(someone())
    await desk.sealed()
    assert await desk.other.receipts(bst=decision.bst) == await desk.other.receipts(bst=NOBODY)
    mine = (await desk.operator.receipts(bst=decision.bst)).receipts
    operator_id = verify_receipt(mine[0], desk.log_key).operator_id
    with pytest.raises(NotPermitted):
        await desk.other.receipts(bst=decision.bst, operator_id=operator_id)
    shown = await desk.admin.receipts(bst=decision.bst, operator_id=operator_id)
    assert [each.check for each in shown.receipts] == [each.check for each in mine]
    assert (await desk.admin.receipts(bst=decision.bst)).receipts == []


async def test_a_range_of_time_narrows_what_is_given(desk: ReceiptsDesk) -> None:
    decision = await desk.excluded(someone())
    await desk.sealed()
    (receipt,) = (await desk.operator.receipts(bst=decision.bst)).receipts
    at, moment = verify_receipt(receipt, desk.log_key).at, timedelta(microseconds=1)
    for from_, to, count in ((at, at + moment, 1), (at + moment, None, 0), (None, at, 0), (at, None, 1)):
        found = await desk.operator.receipts(bst=decision.bst, from_=from_, to=to)
        assert len(found.receipts) == count
    with pytest.raises(InvalidRequest, match="not after"):
        await desk.operator.receipts(bst=decision.bst, from_=at, to=at)


async def test_a_call_by_its_correlation_id_has_receipts_for_whoever_was_in_it(desk: ReceiptsDesk) -> None:
    known = await desk.excluded(someone())
    named = desk.operator.on_behalf_of(desk.operator.options.api_key, correlation_id="receipt-test.call")
    subjects = [{"bst": known.bst or ""}, *({"phone": someone().phone} for _ in range(24))]
    desk.asked += len(await named.check_many(subjects))
    await named.close()
    await desk.sealed()
    now, minutes = datetime.now(UTC), timedelta(minutes=9)
    times = {"from_": now - minutes, "to": now + timedelta(minutes=1)}
    found = await desk.operator.receipts(
        correlation_id="receipt-test.call", **times
    )  # more than a page of 20
    proved = [verify_receipt(each, desk.log_key) for each in found.receipts]
    assert [each.outcome for each in proved] == ["EXCLUDED"] + ["NOT_EXCLUDED"] * 24
    assert [each.sequence for each in proved] == sorted(each.sequence for each in proved)
    assert {each.bst for each in proved[1:]} == {None}
    assert (await desk.other.receipts(correlation_id="receipt-test.call", **times)).receipts == []
    with pytest.raises(InvalidRequest, match="10 minutes"):
        await desk.operator.receipts(correlation_id="receipt-test.call", from_=now - minutes)


async def test_an_operator_with_tokens_of_its_own_is_not_shown_the_common_ones_by_a_receipt(
    desk: ReceiptsDesk,
) -> None:
    chosen = NewKey("Chui Bet", ("nser:read",), token_kind=TokenKind.PAIRWISE)
    created = await desk.registrar.setup.create_key(chosen, a_request_id())
    chui = desk.operator.on_behalf_of(created.secret)
    with pytest.raises(NotPermitted, match="tokens of its own"):
        await chui.receipts(bst=NOBODY)
    await chui.close()


async def test_the_fetch_is_in_the_audit_log(desk: ReceiptsDesk) -> None:
    await desk.operator.receipts(bst=NOBODY)
    (line,) = await desk.owner.fetch(
        "SELECT actor, reason FROM register.audit_entry WHERE action = 'receipts.fetched' AND subject = $1 "
        "ORDER BY entry_id DESC LIMIT 1",
        NOBODY,
    )
    assert line["actor"].startswith("key ")
    assert line["reason"].startswith("operator ")


async def test_segments_name_a_checkpoint_that_was_there_before_them(desk: ReceiptsDesk) -> None:
    first = await desk.excluded(someone())
    await desk.sealed()
    known = await desk.owner.fetchval("SELECT min(size) FROM register.audit_checkpoint")
    assert (await desk.check(bst=first.bst)).outcome == "EXCLUDED"
    await desk.sealed()
    newest = (await desk.operator.receipts(bst=first.bst)).receipts[-1]
    proved = verify_receipt(newest, desk.log_key)
    assert known <= proved.not_before < proved.checkpoint.size


@pytest.mark.parametrize(
    "edit",
    [
        "UPDATE register.lookup_log SET outcome = 'NOT_EXCLUDED'",
        "UPDATE register.lookup_log SET at = at + interval '1 microsecond'",
        "UPDATE register.lookup_log SET correlation_id = correlation_id || 'x'",
        "UPDATE register.lookup_segment SET seed = sha256(seed)",
        "UPDATE register.lookup_segment SET entries = entries - 1, first_sequence = first_sequence + 1",
        "UPDATE register.audit_entry SET reason = reason || '0' WHERE action = 'lookup.segment_sealed'",
        "UPDATE register.audit_entry SET actor = 'nobody' WHERE action = 'lookup.segment_sealed'",
    ],
    ids=[
        "outcome",
        "time",
        "correlation id",
        "seed",
        "sequences",
        "what the line says",
        "who wrote the line",
    ],
)
async def test_what_was_edited_after_sealing_has_no_receipt_and_raises_an_alarm(
    own_desk: ReceiptsDesk, edit: str
) -> None:
    decision = await own_desk.excluded(someone())
    await own_desk.check(bst=decision.bst)
    await own_desk.sealed()
    await edited(own_desk, edit)
    found = await own_desk.operator.receipts(bst=decision.bst)
    assert (found.receipts, found.pending, found.unprovable) == ([], 0, 2)
    alarms = await own_desk.owner.fetch(
        "SELECT reason FROM register.audit_entry WHERE action = 'receipts.log_differs'"
    )
    assert 1 <= len(alarms) <= 2  # one for each segment
    assert str(await replica_of(own_desk)) in alarms[0]["reason"]
    told = f"nser_registrar_receipts_unprovable_total {len(alarms)}.0"
    assert told in own_desk.registrar.registrar.metrics.page().decode()


async def replica_of(desk: ReceiptsDesk) -> UUID:
    return UUID(str(await desk.owner.fetchval("SELECT DISTINCT replica_id FROM register.lookup_segment")))


async def test_a_row_put_in_later_has_no_receipt(own_desk: ReceiptsDesk) -> None:
    decision = await own_desk.excluded(someone())
    await own_desk.sealed()
    await own_desk.owner.execute(
        "INSERT INTO register.lookup_log SELECT at, replica_id, sequence + 1000, operator_id, key_id, purpose, "
        "'NOT_EXCLUDED', basis, token, revision, correlation_id FROM register.lookup_log"
    )
    found = await own_desk.operator.receipts(bst=decision.bst)
    assert (len(found.receipts), found.unprovable) == (1, 1)


async def test_the_command_line_writes_files_that_both_verifiers_read(
    desk: ReceiptsDesk, tmp_path: Path
) -> None:
    decision = await desk.excluded(someone())
    await desk.sealed()
    address = {"NSER_REGISTRAR_ADDRESS": desk.registrar.registrar.address}
    environment = os.environ | address | {"NSER_API_KEY": desk.operator.options.api_key}
    command = ["-m", "lookup_core.cli.main", "audit", "receipts", str(decision.bst), "--into", str(tmp_path)]
    await asyncio.to_thread(subprocess.run, [sys.executable, *command], env=environment, check=True)
    (path,) = await asyncio.to_thread(lambda: list(tmp_path.iterdir()))
    assert verify_receipt(Receipt.load(path), desk.log_key).bst == decision.bst
    assert "EXCLUDED" in await asyncio.to_thread(independently_verified, path, desk.log_key)


class BelievesTheStore(Prover):
    """With its protection taken out: what is stored is not compared with what was sealed."""

    async def _tree_of(self, segment: StoredSegment, sealed: SealedSegment) -> SegmentTree:
        assert segment.seed is not None
        return SegmentTree(segment.seed, await self._entries.rows(segment))


@pytest.mark.parametrize("prover", [Prover, pytest.param(BelievesTheStore, marks=pytest.mark.breaks)])
async def test_an_edited_answer_is_not_handed_out_and_would_be_refused_if_it_were(
    own_desk: ReceiptsDesk, prover: type[Prover]
) -> None:
    await own_desk.excluded(someone())
    await own_desk.sealed()
    await edited(own_desk, "UPDATE register.lookup_log SET outcome = 'NOT_EXCLUDED'")
    rows = await own_desk.owner.fetch("SELECT at, replica_id, sequence FROM register.lookup_log")
    places = [Place(row["at"], UUID(str(row["replica_id"])), row["sequence"]) for row in rows]
    pool = await open_pool(own_desk.database.registrar_url, smallest=1, largest=2)
    try:
        origin = (await Log(pool).head()).origin
        keys = ReceiptKeys.of(RING, origin)
        proved = await prover(PostgresLookupLog(pool), Log(pool), keys, SystemClock()).prove(places)
    finally:
        pool.terminate()
    assert len(proved.receipts) == (0 if prover is Prover else 1)
    for each in proved.receipts:
        false = Receipt(
            Inclusion(each.check.leaf, each.check.index, each.check.path),
            Inclusion(each.segment.leaf, each.segment.index, each.segment.path),
            *(each.checkpoint, each.issued_at, each.key, each.signature),
        )
        with pytest.raises(ProofRefused, match="not in the segment"):
            verify_receipt(false, own_desk.log_key)
