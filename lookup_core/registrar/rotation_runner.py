"""Rotating many tokens in the background, a group at a time, while registrations go on.

One group is one transaction and one revision: it locks the rotation and its people, rotates, and moves the cursor. So
a process that is killed anywhere has done a group whole or not at all, whoever goes on begins where the last commit
ended, and of several registrars one is at it at a time: everybody gets one new token. A token that the rotation made
itself is passed over. An operator's begins with the lookup log: what it was told in answers, it knows. The next group
waits until every replica has this one; `done` is written when the last is in force everywhere.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from enum import Enum, auto
from typing import Final
from uuid import UUID, uuid5

import structlog

from lookup_core.domain.bst import Token
from lookup_core.domain.ids import PersonNo, RequestId
from lookup_core.kernel.clock import Clock
from lookup_core.kernel.errors import Refused
from lookup_core.registrar import statements
from lookup_core.registrar.asked import Caller
from lookup_core.registrar.people.succession import (
    REVOKED,
    ROTATED,
    Retiring,
    Succeeded,
    lines,
    succeed,
    turn_all,
)
from lookup_core.registrar.people.tokens import Mint, Nonce, fresh_nonce
from lookup_core.registrar.recording import Acknowledgement, Ledger
from lookup_core.registrar.secrets_in_use import Secrets
from lookup_core.registrar.store.port import Store, Transaction
from lookup_core.registrar.store.rows import AuditLine, Event, Person, Revised
from lookup_core.registrar.store.token_rows import Cursor, Passed, Rotation, RotationState, Step

log = structlog.get_logger()

GROUP: Final = 500
"""Tokens in one transaction: bounds how long its locks are held."""
LOG_PIECE: Final = 50_000
"""Entries of the lookup log that are read in one transaction."""
LOOK_EVERY_S: Final = 2.0
PAUSE_S: Final = 0.02
"""Between groups, for whoever waits for the counter."""
RETRY_S: Final = 1.0
DONE: Final = "bst_rotation.done"


class Went(Enum):
    """How a step went."""

    ON = auto()
    THROUGH = auto()  # nothing is left
    NOWHERE = auto()  # it is not running, or another registrar is at it


class RotationRunner:
    """Runs for as long as the process lives."""

    def __init__(
        self,
        store: Store,
        ledger: Ledger,
        secrets: Secrets,
        acknowledgement: Acknowledgement,
        clock: Clock,
        *,
        nonce: Nonce = fresh_nonce,
    ) -> None:
        self._store = store
        self._ledger = ledger
        self._mint = Mint(lambda: secrets.ring.bst_salt, nonce)
        self._acknowledgement = acknowledgement
        self._clock = clock
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Look for work now."""
        self._woken.set()

    async def run(self) -> None:
        while True:
            self._woken.clear()
            try:
                for rotation_id in await self._store.running_rotations():
                    await self.work_on(rotation_id)
            except Refused as refused:
                log.warning("rotation.waits", cause=refused.reason)
                await self._clock.sleep(RETRY_S)
                continue
            sleeping = asyncio.ensure_future(self._clock.sleep(LOOK_EVERY_S))
            woken = asyncio.ensure_future(self._woken.wait())
            try:
                await asyncio.wait({sleeping, woken}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                sleeping.cancel()
                woken.cancel()

    async def work_on(self, rotation_id: UUID) -> None:
        """Go on with one until it is done, cancelled, or another's. Raises Refused: it goes on from there later."""
        while (went := await self.step(rotation_id)) is Went.ON:
            await self._clock.sleep(PAUSE_S)
        if went is Went.THROUGH:
            await self._finish(rotation_id)

    async def step(self, rotation_id: UUID) -> Went:
        """Do one group, and wait until it is in force. Raises Refused."""
        committed = await self._store.write(lambda tx: self._group(tx, rotation_id))
        went, rotation, step = committed.result
        if rotation is not None and step is not None:
            log.info("rotation.moved", rotation_id=str(rotation_id), passed=rotation.passed + step.passed)
            if step.revision is not None and step.request_id is not None:
                await self._acknowledgement.give(
                    str(rotation_id), step.revision, step.request_id, until_s=None
                )
        return went

    async def _group(self, tx: Transaction, rotation_id: UUID) -> tuple[Went, Rotation | None, Step | None]:
        rotation = await tx.claim_rotation(rotation_id)
        if rotation is None:
            return Went.NOWHERE, None, None
        if rotation.gathers:
            await tx.gather(rotation, LOG_PIECE)
            return Went.ON, None, None
        passed = await tx.next_tokens(rotation, GROUP)
        if not passed:
            return Went.THROUGH, rotation, None
        if rotation.is_dry_run:
            step = _counted(rotation, passed)
        else:
            step = await self._rotated(tx, rotation, passed)
        await tx.move_rotation(rotation_id, step)
        return Went.ON, rotation, step

    async def _rotated(self, tx: Transaction, rotation: Rotation, passed: Sequence[Passed]) -> Step:
        """Rotate a group of tokens, as their people stand under the locks. The counter last (SAFETY.md 10)."""
        wanted = _wanted(rotation, passed)
        people = await tx.lock_people(wanted.keys())
        if rotation.is_pairwise:
            return await self._turned(tx, rotation, passed, people)
        retiring = [
            Retiring(people[number], states)
            for number, tokens in sorted(wanted.items())
            if (states := _states(people[number], tokens, revokes=rotation.revokes))
        ]
        if not retiring:
            return Step(_cursor(passed), len(passed), unknown=_unknown(passed))
        caller = _caller(rotation)
        done, told = await succeed(
            tx, self._mint, retiring, caller, self._clock.now(), rotation_id=rotation.rotation_id
        )
        return await self._state(tx, rotation, passed, done, told)

    async def _turned(
        self, tx: Transaction, rotation: Rotation, passed: Sequence[Passed], people: Mapping[PersonNo, Person]
    ) -> Step:
        """Rotate an operator's own tokens of people whose live token is in the group: each person's once."""
        live = {each.token for each in passed}
        mine = [people[number] for number in sorted(people) if people[number].token in live]
        done, told = await turn_all(tx, mine)
        if not done:
            return Step(_cursor(passed), len(passed), unknown=_unknown(passed))
        return await self._state(tx, rotation, passed, done, told)

    async def _state(
        self,
        tx: Transaction,
        rotation: Rotation,
        passed: Sequence[Passed],
        done: Sequence[Succeeded],
        told: Sequence[Event],
    ) -> Step:
        """Record what was done to a group, in one revision."""
        cursor, caller = _cursor(passed), _caller(rotation)
        stated = [statements.of_person(each.person) for each in done]
        revised = await self._ledger.take(tx, statements.change(*stated))
        request_id = RequestId(uuid5(rotation.rotation_id, cursor.token.hex()))
        await tx.record(
            Revised(
                revision=revised.revision,
                digest=revised.digest,
                statements=revised.statements,
                request_id=request_id,
                request_digest=hashlib.sha256(request_id.bytes).digest(),
                answer=b"",
            )
        )
        if told:
            await tx.tell(told, revised.revision)
        await tx.audit(lines(done, caller, rotation.reason, revised.revision))
        return Step(
            cursor,
            len(passed),
            rotated=sum(each.minted is not None or not each.states for each in done),
            revoked=sum(state == REVOKED for each in done for state in each.states.values()),
            unknown=_unknown(passed),
            revision=revised.revision,
            request_id=request_id,
        )

    async def _finish(self, rotation_id: UUID) -> None:
        """Confirm the last group, whoever did it, then say so.

        The line that is committed first makes an earlier, doubted commit sure (SAFETY.md 11): without a standby's word
        for it the rotation stays as it is, and is finished later.
        """
        committed = await self._store.write(lambda tx: self._confirm(tx, rotation_id))
        rotation = committed.result
        if rotation is None or not committed.is_replicated:
            return
        if rotation.request_id is not None:
            await self._acknowledgement.give(
                str(rotation_id), rotation.revision, rotation.request_id, until_s=None
            )
        await self._store.write(lambda tx: self._end(tx, rotation_id))
        log.info("rotation.done", rotation_id=str(rotation_id), rotated=rotation.rotated)

    async def _confirm(self, tx: Transaction, rotation_id: UUID) -> Rotation | None:
        rotation = await tx.claim_rotation(rotation_id)
        if rotation is not None:
            await tx.audit([_line(rotation, "bst_rotation.through")])
        return rotation

    async def _end(self, tx: Transaction, rotation_id: UUID) -> None:
        rotation = await tx.claim_rotation(rotation_id)
        if rotation is not None:
            await tx.end_rotation(rotation_id, RotationState.DONE, self._clock.now())
            await tx.audit([_line(rotation, DONE)])


def _caller(rotation: Rotation) -> Caller:
    return Caller(rotation.actor, None, rotation.origin, rotation.correlation_id)


def _line(rotation: Rotation, action: str) -> AuditLine:
    counts = f"{rotation.rotated} rotated, {rotation.revoked} revoked, of {rotation.passed}"
    return AuditLine(_caller(rotation), action, f"rotation {rotation.rotation_id}", counts)


def _wanted(rotation: Rotation, passed: Sequence[Passed]) -> dict[PersonNo, list[Token]]:
    """The tokens of a group that are to be retired, by person; never one that this rotation made."""
    wanted: dict[PersonNo, list[Token]] = {}
    for each in passed:
        if each.person_no is not None and each.rotation_id != rotation.rotation_id:
            wanted.setdefault(each.person_no, []).append(each.token)
    return wanted


def _states(person: Person, tokens: Sequence[Token], *, revokes: bool) -> dict[Token, str]:
    """What becomes of some of a person's tokens; nothing of one that is as it should be already."""
    states: dict[Token, str] = {}
    for token in tokens:
        if token == person.token:
            states[token] = REVOKED if revokes else ROTATED
        elif revokes and token in person.rotated_tokens:
            states[token] = REVOKED
    return states


def _counted(rotation: Rotation, passed: Sequence[Passed]) -> Step:
    """What a dry run finds: nothing is locked and nothing is changed."""
    states = [each.state for each in passed if each.person_no is not None]
    retired = sum(state in ("live", ROTATED) for state in states) if rotation.revokes else 0
    return Step(_cursor(passed), len(passed), states.count("live"), retired, _unknown(passed))


def _cursor(passed: Sequence[Passed]) -> Cursor:
    return Cursor(passed[-1].created_at, passed[-1].token.raw)


def _unknown(passed: Sequence[Passed]) -> int:
    return sum(each.person_no is None for each in passed)
