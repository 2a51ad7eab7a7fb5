"""The calls that this client makes, by their path and their messages. One row each, for both kinds of channel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from google.protobuf.message import Message

from nser.access.v1 import access_pb2
from nser.audit.v1 import receipts_pb2
from nser.bst.v1 import bst_pb2
from nser.lookup.v1 import lookup_pb2
from nser.register.v1 import register_pb2

Request = TypeVar("Request", bound=Message)
Response = TypeVar("Response", bound=Message)


@dataclass(frozen=True, slots=True)
class Rpc(Generic[Request, Response]):
    """One call of the contract."""

    path: str
    request: type[Request]
    response: type[Response]


CHECK: Final = Rpc("/nser.lookup.v1.LookupService/Check", lookup_pb2.CheckRequest, lookup_pb2.CheckResponse)
BATCH_CHECK: Final = Rpc(
    "/nser.lookup.v1.LookupService/BatchCheck", lookup_pb2.BatchCheckRequest, lookup_pb2.BatchCheckResponse
)
STREAM_CHECK: Final = Rpc(
    "/nser.lookup.v1.LookupService/StreamCheck", lookup_pb2.StreamCheckRequest, lookup_pb2.StreamCheckResponse
)
REGISTER: Final = Rpc(
    "/nser.register.v1.RegisterService/Register", register_pb2.RegisterRequest, register_pb2.RegisterResponse
)
EXTEND: Final = Rpc(
    "/nser.register.v1.RegisterService/Extend", register_pb2.ExtendRequest, register_pb2.ExtendResponse
)
GET: Final = Rpc("/nser.register.v1.RegisterService/Get", register_pb2.GetRequest, register_pb2.GetResponse)
STATS: Final = Rpc(
    "/nser.register.v1.RegisterService/Stats", register_pb2.StatsRequest, register_pb2.StatsResponse
)
GENERATE: Final = Rpc("/nser.bst.v1.BstService/Generate", bst_pb2.GenerateRequest, bst_pb2.GenerateResponse)
VALIDATE: Final = Rpc("/nser.bst.v1.BstService/Validate", bst_pb2.ValidateRequest, bst_pb2.ValidateResponse)
ROTATE: Final = Rpc("/nser.bst.v1.BstService/Rotate", bst_pb2.RotateRequest, bst_pb2.RotateResponse)
HISTORY: Final = Rpc("/nser.bst.v1.BstService/History", bst_pb2.HistoryRequest, bst_pb2.HistoryResponse)
CREATE_KEY: Final = Rpc(
    "/nser.access.v1.AccessService/CreateKey", access_pb2.CreateKeyRequest, access_pb2.CreateKeyResponse
)
LIST_KEYS: Final = Rpc(
    "/nser.access.v1.AccessService/ListKeys", access_pb2.ListKeysRequest, access_pb2.ListKeysResponse
)
REVOKE_KEY: Final = Rpc(
    "/nser.access.v1.AccessService/RevokeKey", access_pb2.RevokeKeyRequest, access_pb2.RevokeKeyResponse
)
FETCH_RECEIPTS: Final = Rpc(
    "/nser.audit.v1.ReceiptService/Fetch", receipts_pb2.FetchRequest, receipts_pb2.FetchResponse
)

HEALTH_PATH: Final = "/grpc.health.v1.Health/Check"
"""grpc.health.v1 in raw bytes, so that this package needs no other: the empty request is b""."""
HEALTH_SERVING: Final = b"\x08\x01"
