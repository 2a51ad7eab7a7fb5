"""From PostgreSQL's rows to the values of `rows.py`, and back to columns."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

import asyncpg

from lookup_core.domain.blind import LiveVersions
from lookup_core.domain.bst import Token
from lookup_core.domain.exclusion import Exclusion, State
from lookup_core.domain.ids import BlindIndex, ExclusionId, KeyId, OperatorId, PersonNo, Revision
from lookup_core.domain.lookup_segment import Named, SealedSegment
from lookup_core.domain.outcome import RiskLevel
from lookup_core.domain.pairwise import TokenKind
from lookup_core.domain.period import Period, Term
from lookup_core.kernel.envelope import WrappedKey
from lookup_core.registrar.people.identifiers import Identifier, Kind
from lookup_core.registrar.people.which import Holding
from lookup_core.registrar.store.rows import (
    HeldExclusion,
    HeldForm,
    HeldKey,
    HeldOperator,
    Person,
    SealedPerson,
)

PII_COLUMNS: Final = (
    *("phone", "document", "date_of_birth", "first_name", "last_name", "email", "support_person"),
    "verification_receipt",
)


class Sought:
    """Identifiers by every form in which they may be held."""

    def __init__(self, identifiers: Iterable[Identifier]) -> None:
        self._of = {
            (each.kind.value, blind): (each, version)
            for each in identifiers
            for version, blind in enumerate(each.forms, start=1)
        }

    def by_column(self) -> tuple[list[str], list[bytes]]:
        """Kinds and blind indexes, for unnest."""
        return [kind for kind, _ in self._of], [blind for _, blind in self._of]

    def holding(self, row: asyncpg.Record) -> Holding:
        identifier, version = self._of[row["kind"], row["blind"]]
        return Holding(identifier, PersonNo(row["person_no"]), row["has_document"], version)


def live_versions(head: asyncpg.Record) -> LiveVersions:
    """Of the blind index, as a row of `head` tells them."""
    return LiveVersions(
        head["key_version"], head["key_announced"] or head["key_version"], head["key_check"] or b""
    )


def held_form(row: asyncpg.Record, token: bytes | None = None) -> HeldForm:
    return HeldForm(Kind(row["kind"]), BlindIndex(row["blind"]), PersonNo(row["person_no"]), token)


def person(row: asyncpg.Record) -> Person:
    held: dict[str, list[tuple[Token, datetime]]] = {"live": [], "rotated": [], "revoked": []}
    for raw, version, state, at in zip(
        row["tokens"], row["versions"], row["states"], row["minted_at"], strict=True
    ):
        held[state].append((Token(raw, version), at))
    live = held["live"][0] if held["live"] else None
    return Person(
        number=PersonNo(row["person_no"]),
        phones=tuple(BlindIndex(blind) for blind in row["phones"]),
        documents=tuple(BlindIndex(blind) for blind in row["documents"]),
        token=None if live is None else live[0],
        token_created_at=None if live is None else live[1],
        rotated_tokens=tuple(token for token, _ in held["rotated"]),
        revoked_tokens=tuple(token for token, _ in held["revoked"]),
        risk_level=RiskLevel(row["risk_level"]),
        requires_screening=row["requires_screening"],
        last_assessment=row["last_assessment"],
        previously_excluded=row["previously_excluded"],
        pairwise_generation=row["pairwise_generation"],
    )


def sealed_person(row: asyncpg.Record) -> SealedPerson:
    fields = {column: row[column] for column in PII_COLUMNS if row[column] is not None}
    key = None if row["wrapped_key"] is None else WrappedKey(row["kek_id"], row["wrapped_key"])
    return SealedPerson(PersonNo(row["person_no"]), key, row["version"], fields, row["manifest"] or b"")


def exclusion(row: asyncpg.Record) -> HeldExclusion:
    term = Term(_utc(row["effective_at"]), None if row["expires_at"] is None else _utc(row["expires_at"]))
    held = Exclusion(
        id=ExclusionId(row["exclusion_id"]),
        person_no=PersonNo(row["person_no"]),
        period=Period(row["period"]),
        state=State(row["state"]),
        term=term,
        agreed_at=row["agreed_at"] or term.effective_at,
        release_requested_at=row["release_requested_at"],
        released_at=row["released_at"],
    )
    token = None if row["token"] is None else Token(row["token"], row["token_version"])
    revision, generation = Revision(row["revision"]), row["pairwise_generation"]
    return HeldExclusion(held, token, row["channel"], row["county"], revision, generation)


def key(row: asyncpg.Record) -> HeldKey:
    return HeldKey(
        key_id=KeyId(row["key_id"]),
        mac=row["mac"],
        operator=HeldOperator(
            OperatorId(row["operator_id"]),
            row["name"],
            row["operator_is_active"],
            TokenKind(row["token_kind"]),
        ),
        scopes=tuple(row["scopes"]),
        requests_per_second=row["requests_per_second"],
        people_per_second=row["people_per_second"],
        is_active=row["is_active"],
        created_at=row["created_at"],
    )


def sealed_segment(row: asyncpg.Record) -> SealedSegment:
    return SealedSegment(
        replica_id=UUID(bytes=row["replica_id"].bytes),
        number=row["number"],
        entries=row["entries"],
        sha256=row["sha256"],
        root=row["root"],
        checkpoint=Named.unpacked(row["checkpoint"]),
    )


def _utc(at: datetime) -> datetime:
    return at.astimezone(UTC)
