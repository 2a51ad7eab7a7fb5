"""Between nser.bst.v1's messages and the values of the use cases about tokens. No rule is decided here."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from lookup_core.domain.bst import format_token, parse_token
from lookup_core.domain.errors import MalformedToken, Refused
from lookup_core.domain.identity import Identity
from lookup_core.domain.ids import OperatorId
from lookup_core.kernel.errors import InvalidRequest
from lookup_core.registrar.generate_token import Generated
from lookup_core.registrar.pages import Page
from lookup_core.registrar.rotate_token import Rotated, Rotating
from lookup_core.registrar.rpc.interceptors.validation import Malformed, validate
from lookup_core.registrar.rpc.translate import Seal, identity_of, timestamp
from lookup_core.registrar.start_rotation import Wanted
from lookup_core.registrar.store.token_rows import Minting, Rotation, RotationState, Use
from lookup_core.registrar.token_history import HistoryWanted
from nser.bst.v1 import bst_pb2

ROTATION_STATES: Final[Mapping[RotationState, int]] = {
    state: bst_pb2.RotationState.Value(f"ROTATION_STATE_{state.name}") for state in RotationState
}


def generated(made: Generated, seal: Seal) -> bst_pb2.GenerateResponse:
    return bst_pb2.GenerateResponse(
        bst=format_token(made.shown),
        version=made.shown.version,
        created_at=timestamp(made.created_at),
        created=made.is_new,
        revision=seal(made.revision),
    )


def identity_or_refusal(request: bst_pb2.GenerateRequest, now: datetime) -> Identity | Refused:
    """One person of a batch, or why they cannot be read."""
    try:
        validate(request)
        return identity_of(request, now)
    except Malformed as malformed:
        return malformed.refused
    except Refused as refusal:
        return refusal


def refused(refusal: Refused) -> bst_pb2.BatchGenerateResult:
    error = bst_pb2.ItemRefused(reason=refusal.reason, field=refusal.field or "", message=refusal.message)
    return bst_pb2.BatchGenerateResult(error=error)


def rotating_of(request: bst_pb2.RotateRequest, *, sees_all: bool) -> Rotating:
    """Raises MalformedToken."""
    return Rotating(parse_token(request.bst), request.reason, sees_all)


def rotated(done: Rotated, seal: Seal) -> bst_pb2.RotateResponse:
    return bst_pb2.RotateResponse(
        bst=format_token(done.token),
        replaces=format_token(done.replaces),
        version=done.token.version,
        created_at=timestamp(done.created_at),
        revision=seal(done.revision),
    )


def history_of(request: bst_pb2.HistoryRequest, *, sees_all: bool) -> HistoryWanted:
    """Raises MalformedToken."""
    return HistoryWanted(parse_token(request.bst), request.page_size, request.page_token, sees_all)


def uses(page: Page[Use]) -> bst_pb2.HistoryResponse:
    return bst_pb2.HistoryResponse(
        uses=[
            bst_pb2.TokenUse(
                at=timestamp(use.place.at), operator=use.operator, action=use.action, purpose=use.purpose
            )
            for use in page.entries
        ],
        next_page_token=page.next_token,
    )


def wanted_of(request: bst_pb2.StartRotationRequest) -> Wanted:
    """Raises InvalidRequest naming the place of a token that is none."""
    over = request.WhichOneof("over")
    minted = request.minted
    return Wanted(
        reason=request.reason,
        operator_id=OperatorId(UUID(request.operator_id)) if over == "operator_id" else None,
        minted=Minting(_at(getattr(minted, "from")), _at(minted.to)) if over == "minted" else None,
        tokens=[_listed(place, text) for place, text in enumerate(request.list.tokens)],
        revokes=request.revoke_old,
        is_dry_run=request.dry_run,
    )


def rotation(held: Rotation) -> bst_pb2.Rotation:
    told = bst_pb2.Rotation(
        rotation_id=str(held.rotation_id),
        revoke_old=held.revokes,
        dry_run=held.is_dry_run,
        reason=held.reason,
        state=_number(ROTATION_STATES[held.state]),
        progress=held.progress,
        passed=held.passed,
        rotated=held.rotated,
        revoked=held.revoked,
        unknown=held.unknown,
        started_by=held.actor,
        started_at=timestamp(held.started_at),
        ended_at=None if held.ended_at is None else timestamp(held.ended_at),
    )
    if held.operator_id is not None:
        told.operator = held.operator
    elif held.minted is not None:
        getattr(told.minted, "from").FromDatetime(held.minted.from_at)
        told.minted.to.FromDatetime(held.minted.to_at)
    else:
        told.listed = held.listed or 0
    return told


def _listed(place: int, text: str) -> Any:
    try:
        return parse_token(text)
    except MalformedToken as malformed:
        raise InvalidRequest(f"list.tokens[{place}]", f"{malformed.message} Nothing was changed.") from None


def _at(stamp: Any) -> Any:
    return stamp.ToDatetime(UTC)


def _number(value: int) -> Any:
    """An enum's number; the generated stubs want the enum's own type for it."""
    return value
