"""What a change says to the replicas: nser.feed.v1, serialised once and hashed as stored (SAFETY.md 13).

A change states people whole and one exclusion or one key (SAFETY.md 10). No personal data, and no exclusion's dates.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from lookup_core.domain.exclusion import Exclusion
from lookup_core.domain.outcome import RiskLevel
from lookup_core.domain.pairwise import TokenKind
from lookup_core.registrar.store.rows import HeldKey, Person
from nser.feed.v1 import feed_pb2
from nser.type.v1 import exclusion_pb2

_RISK: Final[Mapping[RiskLevel, int]] = {
    level: exclusion_pb2.RiskLevel.Value(f"RISK_LEVEL_{level.name}") for level in RiskLevel
}


def change(*statements: feed_pb2.Statement) -> bytes:
    """The bytes of one change, as they are stored, chained and sent."""
    return feed_pb2.Change(statements=statements).SerializeToString(deterministic=True)


def of_person(person: Person) -> feed_pb2.Statement:
    assessed = person.last_assessment
    return feed_pb2.Statement(
        person=feed_pb2.PersonStated(
            person_no=person.number,
            phones=person.phones,
            documents=person.documents,
            token=b"" if person.token is None else person.token.raw,
            rotated_tokens=[token.raw for token in person.rotated_tokens],
            revoked_tokens=[token.raw for token in person.revoked_tokens],
            risk_level=_RISK[person.risk_level],
            requires_screening=person.requires_screening,
            last_assessment_ms=0 if assessed is None else int(assessed.timestamp() * 1000),
            previously_excluded=person.previously_excluded,
            pairwise_generation=person.pairwise_generation,
        )
    )


def of_blind_key(version: int, phase: feed_pb2.BlindKeyPhase.ValueType, check: bytes) -> feed_pb2.Statement:
    return feed_pb2.Statement(blind_key=feed_pb2.BlindKeyStated(version=version, phase=phase, check=check))


def of_exclusion(exclusion: Exclusion) -> feed_pb2.Statement:
    return feed_pb2.Statement(
        exclusion=feed_pb2.ExclusionStated(
            exclusion_id=exclusion.id.bytes, person_no=exclusion.person_no, excludes=exclusion.excludes
        )
    )


def of_key(key: HeldKey) -> feed_pb2.Statement:
    return feed_pb2.Statement(
        key=feed_pb2.KeyStated(
            key_id=key.key_id,
            mac=key.mac,
            operator_id=key.operator.operator_id.bytes,
            scopes=key.scopes,
            requests_per_second=key.requests_per_second,
            people_per_second=key.people_per_second,
            active=key.is_accepted,
            has_pairwise_tokens=key.operator.token_kind is TokenKind.PAIRWISE,
        )
    )
