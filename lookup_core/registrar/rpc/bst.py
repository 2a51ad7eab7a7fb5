"""nser.bst.v1.BstService: translation only. What is not built is refused at the door."""

from __future__ import annotations

from typing import Any

import grpc

from lookup_core.domain.bst import format_token
from lookup_core.kernel.clock import Clock
from lookup_core.kernel.errors import NotBuilt
from lookup_core.registrar.generate_token import GenerateToken
from lookup_core.registrar.rpc import translate
from lookup_core.registrar.rpc.call import CALL
from lookup_core.registrar.validate_token import ValidateToken
from nser.bst.v1 import bst_pb2, bst_pb2_grpc

Context = grpc.aio.ServicerContext[Any, Any]


class BstService(bst_pb2_grpc.BstServiceServicer):
    def __init__(
        self, generate: GenerateToken, validate: ValidateToken, seal: translate.Seal, clock: Clock
    ) -> None:
        self._generate = generate
        self._validate = validate
        self._seal = seal
        self._clock = clock

    async def Generate(self, request: bst_pb2.GenerateRequest, context: Context) -> bst_pb2.GenerateResponse:
        generated = await self._generate(translate.identity_of(request, self._clock.now()), CALL.get().caller)
        return bst_pb2.GenerateResponse(
            bst=format_token(generated.shown),
            version=generated.shown.version,
            created_at=translate.timestamp(generated.created_at),
            created=generated.is_new,
            revision=self._seal(generated.revision),
        )

    async def Validate(self, request: bst_pb2.ValidateRequest, context: Context) -> bst_pb2.ValidateResponse:
        validated = await self._validate(request.bst, CALL.get().caller)
        status: Any = translate.TOKEN_STATES[validated.status]
        return bst_pb2.ValidateResponse(valid=validated.is_valid, status=status, reason=validated.reason)

    async def Rotate(self, request: bst_pb2.RotateRequest, context: Context) -> Any:
        raise NotBuilt("BstService.Rotate")

    async def History(self, request: bst_pb2.HistoryRequest, context: Context) -> Any:
        raise NotBuilt("BstService.History")
