"""Between the contract's messages and the values of the use cases. No rule is decided here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from google.protobuf.timestamp_pb2 import Timestamp

from lookup_core.domain.bst import parse_token
from lookup_core.domain.document import DocumentType
from lookup_core.domain.exclusion import State
from lookup_core.domain.identity import Identity, identity_from
from lookup_core.domain.ids import ExclusionId, KeyId, OperatorId, Revision
from lookup_core.domain.pairwise import TokenKind
from lookup_core.domain.period import Period, date_in_kenya
from lookup_core.registrar.answers import Registered, ShownKey
from lookup_core.registrar.asked import Caller
from lookup_core.registrar.count_exclusions import Counts, Group
from lookup_core.registrar.create_key import NewKey
from lookup_core.registrar.extend_exclusion import Extension
from lookup_core.registrar.list_keys import KeysWanted
from lookup_core.registrar.people.pairwise import ShownTokens
from lookup_core.registrar.people.personal_data import Told
from lookup_core.registrar.register_exclusion import Registration
from lookup_core.registrar.revoke_key import Revocation
from lookup_core.registrar.shred_personal_data import Ground, Shredding
from lookup_core.registrar.validate_token import TokenStatus
from nser.access.v1 import access_pb2
from nser.bst.v1 import bst_pb2
from nser.register.v1 import register_pb2
from nser.type.v1 import exclusion_pb2, identity_pb2

Seal = Callable[[Revision], str]

PERIODS: Final[Mapping[int, Period]] = {
    exclusion_pb2.Period.Value(f"PERIOD_{period.value.upper()}"): period for period in Period
}
STATES: Final[Mapping[State, int]] = {
    state: exclusion_pb2.ExclusionState.Value(f"EXCLUSION_STATE_{state.name}") for state in State
}
CHANNELS: Final[Mapping[int, str]] = {
    number: "api" if number == 0 else name.removeprefix("CHANNEL_").lower()
    for name, number in exclusion_pb2.Channel.items()
}
DOCUMENT_TYPES: Final[Mapping[int, DocumentType]] = {
    0: DocumentType.NATIONAL_ID,  # unspecified
} | {identity_pb2.DocumentType.Value(f"DOCUMENT_TYPE_{kind.name}"): kind for kind in DocumentType}
GROUPS: Final[Mapping[int, Group]] = {0: Group.NONE} | {
    register_pb2.StatsGroup.Value(f"STATS_GROUP_{group.name}"): group
    for group in Group
    if group is not Group.NONE
}
TOKEN_STATES: Final[Mapping[TokenStatus, int]] = {
    status: bst_pb2.TokenStatus.Value(f"TOKEN_STATUS_{status.name}") for status in TokenStatus
}
GROUNDS: Final[Mapping[int, Ground]] = {
    register_pb2.ShredGround.Value(f"SHRED_GROUND_{ground.name}"): ground for ground in Ground
}
TOKEN_KINDS: Final[Mapping[int, TokenKind]] = {
    access_pb2.TokenKind.Value(f"TOKEN_KIND_{kind.name}"): kind for kind in TokenKind
}
_KIND_NUMBERS: Final = {kind: number for number, kind in TOKEN_KINDS.items()}
_PERIOD_NUMBERS: Final = {period: number for number, period in PERIODS.items()}
_CHANNEL_NUMBERS: Final = {name: number for number, name in CHANNELS.items() if number}


def identity_of(request: register_pb2.RegisterRequest | bst_pb2.GenerateRequest, now: datetime) -> Identity:
    """Read phone, document and date of birth. Raises InvalidIdentity naming the field."""
    return identity_from(
        phone=request.phone,
        id_type=DOCUMENT_TYPES[request.document.type],
        id_number=request.document.number,
        date_of_birth=request.date_of_birth,
        today=date_in_kenya(now),
    )


def registration_of(request: register_pb2.RegisterRequest, now: datetime) -> Registration:
    """Raises InvalidIdentity."""
    return Registration(
        identity=identity_of(request, now),
        period=PERIODS[request.period],
        channel=CHANNELS[request.channel],
        county=request.county or None,
        told=Told(
            first_name=request.first_name.strip(),
            last_name=request.last_name.strip(),
            email=request.email,
            support_person=request.support_person.strip(),
            verification_receipt=request.verification_receipt,
        ),
    )


def extension_of(request: register_pb2.ExtendRequest) -> Extension:
    return Extension(exclusion_id_of(request.id), PERIODS[request.period])


def shredding_of(request: register_pb2.ShredRequest) -> Shredding:
    """Raises MalformedToken."""
    is_token = request.WhichOneof("person") == "bst"
    who = parse_token(request.bst) if is_token else exclusion_id_of(request.id)
    return Shredding(who, GROUNDS[request.ground], request.reason)


def exclusion_id_of(text: str) -> ExclusionId:
    return ExclusionId(UUID(text))


def new_key_of(request: access_pb2.CreateKeyRequest) -> NewKey:
    return NewKey(
        operator=request.operator,
        scopes=tuple(request.scopes),
        requests_per_second=request.requests_per_second,
        people_per_second=request.people_per_second,
        token_kind=TOKEN_KINDS.get(request.token_kind),
    )


def keys_wanted(request: access_pb2.ListKeysRequest) -> KeysWanted:
    return KeysWanted(
        operator_id=OperatorId(UUID(request.operator_id)) if request.operator_id else None,
        page_size=request.page_size,
        page_token=request.page_token,
    )


def revocation_of(request: access_pb2.RevokeKeyRequest) -> Revocation:
    return Revocation(KeyId(request.key_id), request.reason)


def exclusion(
    registered: Registered, seal: Seal, shown: ShownTokens, caller: Caller
) -> register_pb2.Exclusion:
    """An exclusion as the contract tells it, with the token by which the caller knows the person."""
    term, token = registered.term, registered.token
    return register_pb2.Exclusion(
        id=str(registered.id),
        bst="" if token is None else shown.text(caller, token, registered.holder),
        state=_number(STATES[registered.state]),
        period=_number(_PERIOD_NUMBERS[registered.period]),
        effective_date=term.effective_date.isoformat(),
        expiry_date="" if term.expiry_date is None else term.expiry_date.isoformat(),
        effective_at=timestamp(term.effective_at),
        expires_at=None if term.expires_at is None else timestamp(term.expires_at),
        channel=_number(_CHANNEL_NUMBERS[registered.channel]),
        county=registered.county or 0,
        revision=seal(registered.revision),
    )


def key(shown: ShownKey) -> access_pb2.Key:
    """A key as the contract tells it, without its secret."""
    return access_pb2.Key(
        key_id=shown.key_id,
        operator_id=str(shown.operator_id),
        operator=shown.operator,
        scopes=shown.scopes,
        requests_per_second=shown.requests_per_second,
        people_per_second=shown.people_per_second,
        state=access_pb2.KEY_STATE_ACTIVE if shown.is_active else access_pb2.KEY_STATE_REVOKED,
        created_at=timestamp(shown.created_at),
        token_kind=_number(_KIND_NUMBERS[shown.token_kind]),
    )


def counts(found: Counts) -> register_pb2.StatsResponse:
    """Cells, a suppressed one without its count."""
    cells = [
        register_pb2.StatsCell(group=cell.group)
        if cell.count is None
        else register_pb2.StatsCell(group=cell.group, count=cell.count)
        for cell in found.cells
    ]
    return register_pb2.StatsResponse(cells=cells, as_of=timestamp(found.as_of))


def timestamp(at: datetime) -> Timestamp:
    written = Timestamp()
    written.FromDatetime(at)
    return written


def instant(stamp: Timestamp) -> datetime | None:
    """A time as the use cases have it; None for one that no calendar has."""
    try:
        return stamp.ToDatetime(UTC)
    except (ValueError, OverflowError):
        return None


def _number(value: int) -> Any:
    """An enum's number; the generated stubs want the enum's own type for it."""
    return value
