"""Minting tokens: for people who have none, and anew for those whose token is rotated. A token that somebody has
already is minted again, and that is audited.

A collision of 128 random bits does not happen by chance: one that is seen means a broken source of nonces.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final
from uuid import UUID

import structlog

from lookup_core.domain import bst
from lookup_core.domain.ids import PersonNo
from lookup_core.kernel.keyring import Versions
from lookup_core.registrar.asked import Caller
from lookup_core.registrar.people.finding import Found
from lookup_core.registrar.people.identifiers import Identifier, Identifiers, Kind
from lookup_core.registrar.store.port import Transaction
from lookup_core.registrar.store.rows import AuditLine, Minted, Person

log = structlog.get_logger()

ATTEMPTS: Final = 5
Nonce = Callable[[], bytes]


def fresh_nonce() -> bytes:
    return os.urandom(bst.NONCE_BYTES)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """One token to be minted."""

    person_no: PersonNo
    identifiers: tuple[Identifier, ...]
    replaces: bst.Token | None = None
    rotation_id: UUID | None = None


class Mint:
    """Makes tokens under the secret salt in use, of the version that new tokens get."""

    def __init__(
        self, salts: Callable[[], Versions], nonce: Nonce = fresh_nonce, *, version: int = bst.MINTED
    ) -> None:
        self._salts = salts
        self._nonce = nonce
        self._version = version

    async def give(
        self,
        tx: Transaction,
        found: Sequence[Found],
        asked: Sequence[Identifiers],
        caller: Caller,
        at: datetime,
    ) -> list[Found]:
        """Give `found` with a token for everybody; those who got theirs now are changed."""
        wanted = {
            each.person.number: _Wanted(each.person.number, tuple(identifiers))
            for each, identifiers in reversed(list(zip(found, asked, strict=True)))
            if each.person.token is None
        }
        minted = await self._all(tx, wanted, caller, at)
        return [_with(each, minted.get(each.person.number)) for each in found]

    async def anew(
        self,
        tx: Transaction,
        people: Collection[Person],
        caller: Caller,
        at: datetime,
        *,
        rotation_id: UUID | None = None,
    ) -> Mapping[PersonNo, Minted]:
        """Mint the successors of live tokens, which are retired already; for all that `people` are known by."""
        wanted = {
            person.number: _Wanted(person.number, _known_by(person), person.token, rotation_id)
            for person in people
        }
        return await self._all(tx, wanted, caller, at)

    async def _all(
        self, tx: Transaction, wanted: Mapping[PersonNo, _Wanted], caller: Caller, at: datetime
    ) -> dict[PersonNo, Minted]:
        minted: dict[PersonNo, Minted] = {}
        for _ in range(ATTEMPTS):
            left = [each for number, each in wanted.items() if number not in minted]
            if not left:
                return minted
            minted |= await self._insert(tx, left, caller, at)
        if len(minted) < len(wanted):
            raise LookupError("no free token: the source of nonces is broken")
        return minted

    async def _insert(
        self, tx: Transaction, wanted: Sequence[_Wanted], caller: Caller, at: datetime
    ) -> dict[PersonNo, Minted]:
        tried = [self._minted(each, at) for each in wanted]
        taken = await tx.insert_tokens(tried)
        collided = [each for each in tried if each.token not in taken]
        if collided:
            log.error("bst.collision", people=len(collided))
            await tx.audit(
                [AuditLine(caller, "bst.collision", f"person {each.person_no}") for each in collided]
            )
        return {each.person_no: each for each in tried if each.token in taken}

    def _minted(self, wanted: _Wanted, at: datetime) -> Minted:
        fields = [each.kind.encode() + each.blind for each in wanted.identifiers]
        salts = self._salts()
        token = bst.mint(salts.current, fields, at, self._nonce(), version=self._version)
        return Minted(
            token=token,
            person_no=wanted.person_no,
            identifiers=wanted.identifiers,
            created_at=at,
            salt_version=salts.active,
            replaces=wanted.replaces,
            rotation_id=wanted.rotation_id,
        )


def _known_by(person: Person) -> tuple[Identifier, ...]:
    phones = [Identifier(Kind.PHONE, blind, is_as_held=True) for blind in person.phones]
    return (*phones, *(Identifier(Kind.DOCUMENT, blind, is_as_held=True) for blind in person.documents))


def _with(found: Found, minted: Minted | None) -> Found:
    if minted is None:
        return found
    person = replace(found.person, token=minted.token, token_created_at=minted.created_at)
    return Found(person, is_changed=True)
