"""Taking checkpoints to a witness that checks for itself, and what its answers mean."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from lookup_core.audit.log import Log, LogBroken
from lookup_core.kernel import notes
from lookup_core.registrar.audit.places import PlaceAway, Witness
from nser.audit.v1 import audit_pb2
from tests.integration.registrar.test_sealing import ADMIN, SEALING_S, is_closed
from tests.support.audit_log import Attacker, AuditLog, audit_log
from tests.support.registrar_desk import RING
from tests.support.running_registrar import running_registrar
from tests.support.services import Database
from tests.support.small_witness import KEY, SmallWitness, small_witness
from tests.support.waiting import until

pytestmark = pytest.mark.services


@pytest.fixture
async def log(database: Database) -> AsyncIterator[AuditLog]:
    async with audit_log(database) as opened:
        yield opened


@pytest.fixture
def witness(log: AuditLog) -> Iterator[SmallWitness]:
    with small_witness(log.name.signer.verifier) as running:
        yield running


def place(witness: SmallWitness) -> Witness:
    return Witness(witness.url, KEY, every_s=0)


async def test_a_witness_cosigns_what_grew(log: AuditLog, witness: SmallWitness, owner: Any) -> None:
    there, reader = place(witness), Log(owner)
    for count in (3, 300, 1):
        checkpoint = await log.written(count)
        line = await there.publish(reader, checkpoint)
        assert notes.cosigned_at(checkpoint.note + line, KEY) is not None
    assert (witness.size, witness.requests) == (304, 3)


async def test_a_registrar_that_forgot_what_the_witness_has_asks_once_more(
    log: AuditLog, witness: SmallWitness, owner: Any
) -> None:
    await place(witness).publish(Log(owner), await log.written(300))
    newest = await log.written(5)
    await place(witness).publish(Log(owner), newest)
    await place(witness).compare(Log(owner), newest)  # once more for what it has already
    assert (witness.size, witness.requests) == (305, 5)


async def test_a_witness_that_has_seen_more_is_told_as_a_store_that_is_behind(
    log: AuditLog, witness: SmallWitness, owner: Any
) -> None:
    older = await log.written(300)
    await place(witness).publish(Log(owner), await log.written(5))
    with pytest.raises(LogBroken, match="has seen 305 entries"):
        await place(witness).publish(Log(owner), older)


async def test_a_witness_of_another_history_is_told(log: AuditLog, witness: SmallWitness, owner: Any) -> None:
    await log.written(300)
    witness.size, witness.root = 300, b"o" * 32
    with pytest.raises(LogBroken, match="another root"):
        await place(witness).publish(Log(owner), await log.seal())
    with pytest.raises(LogBroken, match="seen another log"):
        await place(witness).publish(Log(owner), await log.written(5))


@pytest.mark.parametrize("status", [400, 403, 404, 409, 500, 503])
async def test_a_witness_that_does_not_work_is_away(
    log: AuditLog, witness: SmallWitness, owner: Any, status: int
) -> None:
    checkpoint = await log.written(3)
    witness.answers = [status]
    with pytest.raises(PlaceAway):
        await place(witness).publish(Log(owner), checkpoint)


async def test_an_answer_that_another_key_signed_is_no_cosignature(
    log: AuditLog, witness: SmallWitness, owner: Any
) -> None:
    other = notes.Verifier(KEY.name, log.name.signer.verifier.public_key, notes.COSIGNATURE_V1)
    with pytest.raises(PlaceAway, match="no cosignature"):
        await Witness(witness.url, other, every_s=0).publish(Log(owner), await log.written(3))


async def test_a_witness_that_nobody_reaches_is_away(log: AuditLog, owner: Any) -> None:
    with small_witness(log.name.signer.verifier) as gone:
        pass
    with pytest.raises(PlaceAway):
        await place(gone).publish(Log(owner), await log.written(3))


async def test_a_registrar_has_its_checkpoints_cosigned_and_closes_when_set_back(
    database: Database, owner: Any
) -> None:
    name = notes.Signer("register.example/audit", RING.audit_signing.current)
    with small_witness(name.verifier) as witness:
        settings = {
            "audit_origin": name.name,
            "audit_witness_url": witness.url,
            "audit_witness_key": KEY.text,
        }

        async with running_registrar(database, **settings) as running:
            admin = await running.key(ADMIN)
            await running.key(ADMIN)

            async def is_cosigned() -> bool:
                request = audit_pb2.GetCheckpointRequest()
                told = await running.audit.GetCheckpoint(request, metadata=admin)
                return told.size == 2 and notes.cosigned_at(told.checkpoint, KEY) is not None

            async def is_sealed() -> bool:
                return (await Log(owner).head()).sealed == 2

            await until(is_sealed, "both are sealed", within_s=SEALING_S)
            await until(is_cosigned, "the checkpoint is cosigned", within_s=SEALING_S)
        for statement in (
            "DELETE FROM register.audit_cosignature",
            "DELETE FROM register.audit_checkpoint WHERE size > 1",
            "DELETE FROM register.audit_entry WHERE entry_id > 0",
            "UPDATE register.audit_head SET size = 1",
        ):
            await Attacker(owner).does(statement)
        async with running_registrar(database, **settings) as running:

            async def is_found() -> bool:
                return bool(running.registrar.standing.finding)

            await until(is_found, "the witness tells", within_s=SEALING_S)
            await is_closed(running)
