"""nser.audit.v1.ReceiptService: translation only."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from lookup_core.domain.bst import parse_token
from lookup_core.domain.ids import OperatorId
from lookup_core.domain.receipt import Inclusion, Receipt
from lookup_core.domain.scope import NSER_ADMIN
from lookup_core.kernel.errors import InvalidRequest
from lookup_core.registrar.fetch_receipts import (
    FIRST,
    LAST,
    LONGEST_SEARCH,
    RETRY_AFTER_S,
    FetchReceipts,
    ReceiptsWanted,
)
from lookup_core.registrar.rpc import translate
from lookup_core.registrar.rpc.call import CALL, Principal
from lookup_core.registrar.rpc.interceptors.authentication import check_scope
from nser.audit.v1 import receipts_pb2, receipts_pb2_grpc

Context = grpc.aio.ServicerContext[Any, Any]


class ReceiptService(receipts_pb2_grpc.ReceiptServiceServicer):
    def __init__(self, fetch: FetchReceipts) -> None:
        self._fetch = fetch

    async def Fetch(self, request: receipts_pb2.FetchRequest, context: Context) -> receipts_pb2.FetchResponse:
        call = CALL.get()
        fetched = await self._fetch(_wanted(request, call.principal), call.caller)
        answer = receipts_pb2.FetchResponse(
            receipts=[_receipt(each) for each in fetched.receipts],
            next_page_token=fetched.next_token,
            pending=fetched.pending,
            unprovable=fetched.unprovable,
        )
        if fetched.pending:
            answer.retry_after.CopyFrom(Duration(seconds=int(RETRY_AFTER_S)))
        return answer


def _wanted(request: receipts_pb2.FetchRequest, principal: Principal) -> ReceiptsWanted:
    """Raises NotPermitted for another operator's, MalformedToken, InvalidRequest."""
    operator_id = OperatorId(UUID(request.operator_id)) if request.operator_id else principal.operator_id
    if operator_id != principal.operator_id:
        check_scope(principal, NSER_ADMIN)
    begins = _instant(request, "from", FIRST)
    ends = _instant(request, "to", LAST)
    if begins >= ends:
        raise InvalidRequest("to", "The time `to` is not after the time `from`.")
    if request.HasField("correlation_id") and ends - begins > LONGEST_SEARCH:
        raise InvalidRequest(
            "to",
            "The checks of a call are looked for within 10 minutes: say `from` and `to` not further apart.",
        )
    return ReceiptsWanted(
        operator_id=operator_id,
        token=parse_token(request.bst) if request.HasField("bst") else None,
        correlation_id=request.correlation_id,
        begins=begins,
        ends=ends,
        page_size=request.page_size,
        page_token=request.page_token,
    )


def _instant(request: receipts_pb2.FetchRequest, field: str, default: datetime) -> datetime:
    """A time within what the log may hold. Raises InvalidRequest."""
    if not request.HasField(field):  # type: ignore[arg-type]
        return default
    stamp: Timestamp = getattr(request, field)
    at = translate.instant(stamp)
    if at is None:
        raise InvalidRequest(field, f"The time `{field}` is none.")
    return min(max(at, FIRST), LAST)


def _receipt(receipt: Receipt) -> receipts_pb2.Receipt:
    return receipts_pb2.Receipt(
        check=_inclusion(receipt.check),
        segment=_inclusion(receipt.segment),
        checkpoint=receipt.checkpoint,
        issued_at=translate.timestamp(receipt.issued_at),
        key=receipt.key,
        signature=receipt.signature,
    )


def _inclusion(proof: Inclusion) -> receipts_pb2.Inclusion:
    return receipts_pb2.Inclusion(leaf=proof.leaf, index=proof.index, path=proof.path)
