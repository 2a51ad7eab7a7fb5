"""nser.bst.v1.BstService: translation only. What a key may see beyond its own operator is read from its scopes here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import grpc

from lookup_core.domain.errors import Refused
from lookup_core.domain.identity import Identity
from lookup_core.domain.scope import NSER_ADMIN, permits
from lookup_core.kernel.clock import Clock
from lookup_core.registrar.generate_token import GenerateToken
from lookup_core.registrar.rotate_token import RotateToken
from lookup_core.registrar.rpc import translate, translate_tokens
from lookup_core.registrar.rpc.call import CALL
from lookup_core.registrar.start_rotation import CancelRotation, ShowRotations, StartRotation
from lookup_core.registrar.token_history import TokenHistory
from lookup_core.registrar.validate_token import ValidateToken
from nser.bst.v1 import bst_pb2, bst_pb2_grpc

Context = grpc.aio.ServicerContext[Any, Any]


@dataclass(frozen=True, slots=True)
class TokenCases:
    """The use cases behind the service."""

    generate: GenerateToken
    validate: ValidateToken
    rotate: RotateToken
    history: TokenHistory
    start: StartRotation
    show: ShowRotations
    cancel: CancelRotation


class BstService(bst_pb2_grpc.BstServiceServicer):
    def __init__(self, cases: TokenCases, digest_key: bytes, seal: translate.Seal, clock: Clock) -> None:
        self._cases = cases
        self._digest_key = digest_key
        self._seal = seal
        self._clock = clock

    async def Generate(self, request: bst_pb2.GenerateRequest, context: Context) -> bst_pb2.GenerateResponse:
        identity = translate.identity_of(request, self._clock.now())
        generated = await self._cases.generate(identity, CALL.get().caller)
        return translate_tokens.generated(generated, self._seal)

    async def BatchGenerate(
        self, request: bst_pb2.BatchGenerateRequest, context: Context
    ) -> bst_pb2.BatchGenerateResponse:
        now = self._clock.now()
        read = [translate_tokens.identity_or_refusal(person, now) for person in request.people]
        identities = [each for each in read if isinstance(each, Identity)]
        given = (
            iter(await self._cases.generate.many(identities, CALL.get().caller)) if identities else iter(())
        )
        return bst_pb2.BatchGenerateResponse(
            results=[
                translate_tokens.refused(each)
                if isinstance(each, Refused)
                else bst_pb2.BatchGenerateResult(
                    generated=translate_tokens.generated(next(given), self._seal)
                )
                for each in read
            ]
        )

    async def Validate(self, request: bst_pb2.ValidateRequest, context: Context) -> bst_pb2.ValidateResponse:
        validated = await self._cases.validate(request.bst, CALL.get().caller)
        status: Any = translate.TOKEN_STATES[validated.status]
        return bst_pb2.ValidateResponse(valid=validated.is_valid, status=status, reason=validated.reason)

    async def Rotate(self, request: bst_pb2.RotateRequest, context: Context) -> bst_pb2.RotateResponse:
        rotating = translate_tokens.rotating_of(request, sees_all=_sees_all())
        asked = CALL.get().asked(self._digest_key, request.request_id, rotating.fields())
        return translate_tokens.rotated(await self._cases.rotate(rotating, asked), self._seal)

    async def History(self, request: bst_pb2.HistoryRequest, context: Context) -> bst_pb2.HistoryResponse:
        wanted = translate_tokens.history_of(request, sees_all=_sees_all())
        return translate_tokens.uses(await self._cases.history(wanted, CALL.get().caller))

    async def StartRotation(
        self, request: bst_pb2.StartRotationRequest, context: Context
    ) -> bst_pb2.StartRotationResponse:
        wanted = translate_tokens.wanted_of(request)
        asked = CALL.get().asked(self._digest_key, request.request_id, wanted.fields())
        started = await self._cases.start(wanted, asked)
        return bst_pb2.StartRotationResponse(rotation=translate_tokens.rotation(started))

    async def GetRotation(
        self, request: bst_pb2.GetRotationRequest, context: Context
    ) -> bst_pb2.GetRotationResponse:
        held = await self._cases.show.one(UUID(request.rotation_id))
        return bst_pb2.GetRotationResponse(rotation=translate_tokens.rotation(held))

    async def ListRotations(
        self, request: bst_pb2.ListRotationsRequest, context: Context
    ) -> bst_pb2.ListRotationsResponse:
        page = await self._cases.show.page(request.page_size, request.page_token, CALL.get().caller)
        return bst_pb2.ListRotationsResponse(
            rotations=[translate_tokens.rotation(held) for held in page.entries],
            next_page_token=page.next_token,
        )

    async def CancelRotation(
        self, request: bst_pb2.CancelRotationRequest, context: Context
    ) -> bst_pb2.CancelRotationResponse:
        fields = [request.rotation_id, request.reason]
        asked = CALL.get().asked(self._digest_key, request.request_id, fields)
        ended = await self._cases.cancel(UUID(request.rotation_id), request.reason, asked)
        return bst_pb2.CancelRotationResponse(rotation=translate_tokens.rotation(ended))


def _sees_all() -> bool:
    """Whether the caller's key is the register's own, and not only its operator's."""
    return permits(CALL.get().principal.scopes, NSER_ADMIN)
