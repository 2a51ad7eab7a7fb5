"""nser.access.v1.AccessService: translation only. What is not built is refused at the door."""

from __future__ import annotations

from typing import Any

import grpc

from lookup_core.kernel.errors import NotBuilt
from lookup_core.registrar.create_key import CreateKey
from lookup_core.registrar.list_keys import ListKeys
from lookup_core.registrar.revoke_key import RevokeKey
from lookup_core.registrar.rpc import translate
from lookup_core.registrar.rpc.call import CALL
from nser.access.v1 import access_pb2, access_pb2_grpc

Context = grpc.aio.ServicerContext[Any, Any]


class AccessService(access_pb2_grpc.AccessServiceServicer):
    def __init__(self, create: CreateKey, list_keys: ListKeys, revoke: RevokeKey, digest_key: bytes) -> None:
        self._create = create
        self._list = list_keys
        self._revoke = revoke
        self._digest_key = digest_key

    async def CreateKey(
        self, request: access_pb2.CreateKeyRequest, context: Context
    ) -> access_pb2.CreateKeyResponse:
        new = translate.new_key_of(request)
        created = await self._create(
            new, CALL.get().asked(self._digest_key, request.request_id, new.fields())
        )
        return access_pb2.CreateKeyResponse(key=translate.key(created.key), secret=created.secret)

    async def ListKeys(
        self, request: access_pb2.ListKeysRequest, context: Context
    ) -> access_pb2.ListKeysResponse:
        page = await self._list(translate.keys_wanted(request), CALL.get().caller)
        return access_pb2.ListKeysResponse(
            keys=[translate.key(key) for key in page.entries], next_page_token=page.next_token
        )

    async def RevokeKey(
        self, request: access_pb2.RevokeKeyRequest, context: Context
    ) -> access_pb2.RevokeKeyResponse:
        revocation = translate.revocation_of(request)
        asked = CALL.get().asked(self._digest_key, request.request_id, revocation.fields())
        return access_pb2.RevokeKeyResponse(key=translate.key(await self._revoke(revocation, asked)))

    async def RotateKey(self, request: access_pb2.RotateKeyRequest, context: Context) -> Any:
        raise NotBuilt("AccessService.RotateKey")
