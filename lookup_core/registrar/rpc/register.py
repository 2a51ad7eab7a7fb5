"""nser.register.v1.RegisterService: translation only. What is not built is refused at the door."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import grpc

from lookup_core.kernel.clock import Clock
from lookup_core.kernel.errors import NotBuilt
from lookup_core.registrar.answers import Registered
from lookup_core.registrar.count_exclusions import CountExclusions, parse_day
from lookup_core.registrar.extend_exclusion import ExtendExclusion
from lookup_core.registrar.get_exclusion import GetExclusion
from lookup_core.registrar.people.pairwise import ShownTokens
from lookup_core.registrar.register_exclusion import RegisterExclusion
from lookup_core.registrar.rpc import translate
from lookup_core.registrar.rpc.call import CALL
from lookup_core.registrar.secrets_in_use import Secrets
from lookup_core.registrar.shred_personal_data import ShredPersonalData
from nser.register.v1 import register_pb2, register_pb2_grpc

Context = grpc.aio.ServicerContext[Any, Any]


@dataclass(frozen=True, slots=True)
class RegisterCases:
    """The use cases behind the service."""

    register: RegisterExclusion
    extend: ExtendExclusion
    get: GetExclusion
    count: CountExclusions
    shred: ShredPersonalData


class RegisterService(register_pb2_grpc.RegisterServiceServicer):
    def __init__(self, cases: RegisterCases, secrets: Secrets, seal: translate.Seal, clock: Clock) -> None:
        self._cases = cases
        self._digest_key = secrets.request_digest
        self._shown = ShownTokens(secrets.pairing)
        self._seal = seal
        self._clock = clock

    def _exclusion(self, registered: Registered) -> register_pb2.Exclusion:
        return translate.exclusion(registered, self._seal, self._shown, CALL.get().caller)

    async def Register(
        self, request: register_pb2.RegisterRequest, context: Context
    ) -> register_pb2.RegisterResponse:
        registration = translate.registration_of(request, self._clock.now())
        asked = CALL.get().asked(self._digest_key, request.request_id, registration.fields())
        registered = await self._cases.register(registration, asked)
        return register_pb2.RegisterResponse(exclusion=self._exclusion(registered))

    async def Get(self, request: register_pb2.GetRequest, context: Context) -> register_pb2.GetResponse:
        held = await self._cases.get(translate.exclusion_id_of(request.id), CALL.get().caller)
        return register_pb2.GetResponse(exclusion=self._exclusion(held))

    async def Extend(
        self, request: register_pb2.ExtendRequest, context: Context
    ) -> register_pb2.ExtendResponse:
        extension = translate.extension_of(request)
        asked = CALL.get().asked(self._digest_key, request.request_id, extension.fields())
        extended = await self._cases.extend(extension, asked)
        return register_pb2.ExtendResponse(exclusion=self._exclusion(extended))

    async def Stats(self, request: register_pb2.StatsRequest, context: Context) -> register_pb2.StatsResponse:
        days = parse_day(request.from_date, "from_date"), parse_day(request.to_date, "to_date")
        return translate.counts(await self._cases.count(translate.GROUPS[request.group_by], *days))

    async def Shred(self, request: register_pb2.ShredRequest, context: Context) -> register_pb2.ShredResponse:
        shredding = translate.shredding_of(request)
        asked = CALL.get().asked(self._digest_key, request.request_id, shredding.fields())
        shredded = await self._cases.shred(shredding, asked)
        return register_pb2.ShredResponse(
            shredded_at=translate.timestamp(shredded.shredded_at), revision=self._seal(shredded.revision)
        )

    async def List(self, request: register_pb2.ListRequest, context: Context) -> Any:
        raise NotBuilt("RegisterService.List")

    async def RequestRelease(self, request: register_pb2.RequestReleaseRequest, context: Context) -> Any:
        raise NotBuilt("RegisterService.RequestRelease")

    async def Release(self, request: register_pb2.ReleaseRequest, context: Context) -> Any:
        raise NotBuilt("RegisterService.Release")

    def Watch(
        self, request: register_pb2.WatchRequest, context: Context
    ) -> AsyncIterator[register_pb2.WatchResponse]:
        raise NotBuilt("RegisterService.Watch")
