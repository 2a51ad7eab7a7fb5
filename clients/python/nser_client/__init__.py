"""The Python SDK of Kenya's self-exclusion register: may this person be let play? Denies by default.

    from nser_client import Client

    with Client(replicas=["127.0.0.1:50051"], registrar="127.0.0.1:50052", api_key=key) as client:
        if client.check(phone="0712 345 678", id_number="12345678").may_play:
            ...

`AsyncClient` has the same calls to be awaited, and sends thousands of concurrent checks over one stream. A check that
gets no answer says INDETERMINATE, which is not `may_play`; only faults of the caller raise. No answer is ever kept.
"""

from nser_client.answers import ApiKey, Exclusion, GeneratedToken, Stats, StatsCell, TokenValidity
from nser_client.client import AsyncClient, Client
from nser_client.decision import UNKNOWN_ANSWER, Decision
from nser_client.errors import (
    AuditUnavailable,
    BatchTooLarge,
    Conflict,
    CredentialsInvalid,
    DeadlineExceeded,
    Draining,
    ExclusionNotFound,
    ExclusionReleased,
    InternalFault,
    InvalidIdentity,
    InvalidRequest,
    InvalidRevisionToken,
    KeyNotFound,
    MalformedToken,
    Misuse,
    NotBuilt,
    NotFound,
    NotPermitted,
    NotReleasable,
    NserError,
    Outage,
    PeriodNotLonger,
    QuotaExceeded,
    RecordedNotConfirmed,
    RegisterStale,
    ReplicaLoading,
    RequestIdReused,
    RevisionFromOtherStore,
    RevisionNotReached,
    StoreBehindWitness,
    StoreUnreachable,
    Unavailable,
    Unreachable,
)
from nser_client.options import Options, Tls
from nser_client.receipts import Receipt, Receipts, ReceiptUnreadable
from nser_client.requests import Subject
from nser_client.vocabulary import (
    Basis,
    Channel,
    DocumentType,
    ExclusionState,
    IndeterminateReason,
    Outcome,
    Period,
    Purpose,
    RiskLevel,
    StatsGroup,
    TokenStatus,
)

__all__ = [
    "UNKNOWN_ANSWER",
    "ApiKey",
    "AsyncClient",
    "AuditUnavailable",
    "Basis",
    "BatchTooLarge",
    "Channel",
    "Client",
    "Conflict",
    "CredentialsInvalid",
    "DeadlineExceeded",
    "Decision",
    "DocumentType",
    "Draining",
    "Exclusion",
    "ExclusionNotFound",
    "ExclusionReleased",
    "ExclusionState",
    "GeneratedToken",
    "IndeterminateReason",
    "InternalFault",
    "InvalidIdentity",
    "InvalidRequest",
    "InvalidRevisionToken",
    "KeyNotFound",
    "MalformedToken",
    "Misuse",
    "NotBuilt",
    "NotFound",
    "NotPermitted",
    "NotReleasable",
    "NserError",
    "Options",
    "Outage",
    "Outcome",
    "Period",
    "PeriodNotLonger",
    "Purpose",
    "QuotaExceeded",
    "Receipt",
    "ReceiptUnreadable",
    "Receipts",
    "RecordedNotConfirmed",
    "RegisterStale",
    "ReplicaLoading",
    "RequestIdReused",
    "RevisionFromOtherStore",
    "RevisionNotReached",
    "RiskLevel",
    "Stats",
    "StatsCell",
    "StatsGroup",
    "StoreBehindWitness",
    "StoreUnreachable",
    "Subject",
    "Tls",
    "TokenStatus",
    "TokenValidity",
    "Unavailable",
    "Unreachable",
]
