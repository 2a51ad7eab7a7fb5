"""What a refused call says: code, reason and field out of google.rpc.Status."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2


@dataclass(frozen=True, slots=True)
class Refusal:
    """A status with its details. `fields` has one empty field where none is named; `text` is all that was told."""

    code: grpc.StatusCode
    reason: str
    fields: tuple[str, ...]
    text: str
    retry: bool = False

    @property
    def field(self) -> str:
        """The first field that is named."""
        return self.fields[0]


def refusal_of(error: grpc.aio.AioRpcError) -> Refusal:
    """Read the details of an error; those that are missing are empty."""
    trailing = error.trailing_metadata()
    raw = dict(trailing or ()).get("grpc-status-details-bin")
    info, bad, retry = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest(), False
    if raw is not None:
        for detail in status_pb2.Status.FromString(raw).details:
            _ = detail.Unpack(info) or detail.Unpack(bad)
            retry = retry or detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR)
    fields = tuple(violation.field for violation in bad.field_violations) or ("",)
    return Refusal(error.code(), info.reason, fields, f"{error.details()} {bad}", retry)


async def refused(call: Awaitable[Any]) -> Refusal:
    """The refusal of a call that must be refused."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return refusal_of(caught.value)
