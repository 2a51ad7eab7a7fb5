"""nser.audit.v1.AuditService: translation only."""

from __future__ import annotations

from typing import Any

import grpc

from lookup_core.registrar.prove_entries import ProveEntries
from lookup_core.registrar.rpc.call import CALL
from nser.audit.v1 import audit_pb2, audit_pb2_grpc

Context = grpc.aio.ServicerContext[Any, Any]


class AuditService(audit_pb2_grpc.AuditServiceServicer):
    def __init__(self, prove: ProveEntries) -> None:
        self._prove = prove

    async def GetCheckpoint(
        self, request: audit_pb2.GetCheckpointRequest, context: Context
    ) -> audit_pb2.GetCheckpointResponse:
        found = await self._prove.checkpoint(request.covering)
        return audit_pb2.GetCheckpointResponse(checkpoint=found.note, size=found.size)

    async def ProveConsistency(
        self, request: audit_pb2.ProveConsistencyRequest, context: Context
    ) -> audit_pb2.ProveConsistencyResponse:
        proof = await self._prove.consistency(request.old_size, request.covering)
        return audit_pb2.ProveConsistencyResponse(checkpoint=proof.checkpoint.note, path=proof.path)

    async def ProveEntry(
        self, request: audit_pb2.ProveEntryRequest, context: Context
    ) -> audit_pb2.ProveEntryResponse:
        proof = await self._prove.entry(request.entry, request.covering, CALL.get().caller)
        return audit_pb2.ProveEntryResponse(
            canonical=proof.canonical, path=proof.path, checkpoint=proof.checkpoint.note
        )
