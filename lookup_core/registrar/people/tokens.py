"""Minting tokens for people who have none. A token that somebody has already is minted again, and that is audited.

A collision of 128 random bits does not happen by chance: one that is seen means a broken source of nonces.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

import structlog

from lookup_core.domain import bst
from lookup_core.domain.ids import PersonNo
from lookup_core.registrar.asked import Caller
from lookup_core.registrar.people.finding import Found
from lookup_core.registrar.people.identifiers import Identifiers
from lookup_core.registrar.store.port import Transaction
from lookup_core.registrar.store.rows import AuditLine, Minted

log = structlog.get_logger()

ATTEMPTS: Final = 5
Nonce = Callable[[], bytes]


def fresh_nonce() -> bytes:
    return os.urandom(bst.NONCE_BYTES)


class Mint:
    """Makes tokens under the secret salt that is in use, one for each person who has none."""

    def __init__(self, salt: Callable[[], bytes], nonce: Nonce = fresh_nonce) -> None:
        self._salt = salt
        self._nonce = nonce

    async def give(
        self,
        tx: Transaction,
        found: Sequence[Found],
        asked: Sequence[Identifiers],
        caller: Caller,
        at: datetime,
    ) -> list[Found]:
        """Give `found` with a token for everybody; those who got theirs now are changed."""
        wanting = {
            each.person.number: identifiers
            for each, identifiers in reversed(list(zip(found, asked, strict=True)))
            if each.person.token is None
        }
        minted: dict[PersonNo, Minted] = {}
        for _ in range(ATTEMPTS):
            left = {number: each for number, each in wanting.items() if number not in minted}
            if not left:
                break
            minted |= await self._insert(tx, left, caller, at)
        else:
            raise LookupError("no free token: the source of nonces is broken")
        return [_with(each, minted.get(each.person.number)) for each in found]

    async def _insert(
        self, tx: Transaction, wanting: Mapping[PersonNo, Identifiers], caller: Caller, at: datetime
    ) -> dict[PersonNo, Minted]:
        tried = [
            Minted(self._mint(identifiers, at), number, identifiers, at)
            for number, identifiers in wanting.items()
        ]
        taken = await tx.insert_tokens(tried)
        collided = [each for each in tried if each.token not in taken]
        if collided:
            log.error("bst.collision", people=len(collided))
            await tx.audit(
                [AuditLine(caller, "bst.collision", f"person {each.person_no}") for each in collided]
            )
        return {each.person_no: each for each in tried if each.token in taken}

    def _mint(self, identifiers: Identifiers, at: datetime) -> bst.Token:
        fields = [each.kind.encode() + each.blind for each in identifiers]
        return bst.mint(self._salt(), fields, at, self._nonce())


def _with(found: Found, minted: Minted | None) -> Found:
    if minted is None:
        return found
    person = replace(found.person, token=minted.token, token_created_at=minted.created_at)
    return Found(person, is_changed=True)
