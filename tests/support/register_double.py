"""A real gRPC server in this process that speaks the whole contract and answers as a test tells it to.

For tests of the SDK and of the bridge: what matters there is what they do with answers, outages and refusals, which the
real registrar and replica would have to be broken to give. It refuses in the servers' own form (kernel/rpc_errors.py).
"""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

import grpc
from google.protobuf.message import Message

from lookup_core.domain.document import DocumentType, parse_document
from lookup_core.domain.errors import NotPermitted, Refused
from lookup_core.domain.outcome import Purpose
from lookup_core.domain.phone import parse_phone
from lookup_core.domain.scope import permits, permits_check
from lookup_core.kernel.errors import CredentialsInvalid, ExclusionNotFound, InvalidRequest, QuotaExceeded
from lookup_core.kernel.rpc_errors import abort
from nser.access.v1 import access_pb2, access_pb2_grpc
from nser.bst.v1 import bst_pb2, bst_pb2_grpc
from nser.lookup.v1 import lookup_pb2, lookup_pb2_grpc
from nser.register.v1 import register_pb2, register_pb2_grpc
from nser.type.v1 import exclusion_pb2, identity_pb2

GOOD_KEY = "nser_test_good_key"
CHECK_ONLY_KEY = "nser_test_check_only"
ALL_SCOPES = frozenset({"nser:admin", "check:exclusion", "check:marketing", "check:age"})

Context = grpc.aio.ServicerContext[Any, Any]
NOW = datetime(2026, 11, 25, 9, 18, tzinfo=UTC)


@dataclass(frozen=True)
class Call:
    """One call as it arrived."""

    method: str
    request: Any
    metadata: dict[str, Any]


@dataclass
class RegisterDouble:
    """Replica and registrar at one address. Identities are the phone and the document number as they were sent."""

    excluded: set[str] = field(default_factory=set)
    tokens: dict[str, str] = field(default_factory=dict)
    stale: bool = False
    requests_left: int | None = None
    keys: dict[str, frozenset[str]] = field(
        default_factory=lambda: {GOOD_KEY: ALL_SCOPES, CHECK_ONLY_KEY: frozenset({"check:exclusion"})}
    )
    calls: list[Call] = field(default_factory=list)
    scripted: dict[str, deque[Refused | Message]] = field(default_factory=lambda: defaultdict(deque))
    held: asyncio.Event | None = None  # while set and unset: answers are looked up, and kept back
    delay_s: Callable[[], float] | None = None  # how long each answer, already looked up, is under way
    streams: int = 0
    messages: int = 0  # that came over streams; each carries one check or several
    address: str = ""
    _server: grpc.aio.Server | None = None

    async def start(self, address: str = "127.0.0.1:0") -> RegisterDouble:
        server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        lookup_pb2_grpc.add_LookupServiceServicer_to_server(_Lookup(self), server)
        register_pb2_grpc.add_RegisterServiceServicer_to_server(_Register(self), server)  # type: ignore[abstract]
        bst_pb2_grpc.add_BstServiceServicer_to_server(_Bst(self), server)  # type: ignore[abstract]
        access_pb2_grpc.add_AccessServiceServicer_to_server(_Access(self), server)  # type: ignore[abstract]
        health: Any = grpc.unary_unary_rpc_method_handler(_serving)
        server.add_generic_rpc_handlers(
            [grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": health})]
        )
        port = server.add_insecure_port(address)
        await server.start()
        self.address, self._server = f"127.0.0.1:{port}", server
        return self

    async def stop(self) -> None:
        """Go away at once, breaking every stream."""
        if self._server is not None:
            await self._server.stop(None)
            self._server = None

    def script(self, method: str, *answers: Refused | Message) -> None:
        """Answer the next calls of `method` so; a Refused is raised."""
        self.scripted[method].extend(answers)

    def called(self, method: str) -> list[Any]:
        """The requests that came for `method`, in order."""
        return [call.request for call in self.calls if call.method == method]

    async def enter(
        self, method: str, request: Any, context: Context, scope: str | Purpose
    ) -> Message | None:
        """Note the call, judge its key, and return or refuse what was scripted for it."""
        try:
            return self.judge(method, request, context, scope)
        except Refused as refused:
            await abort(context, refused)

    def judge(self, method: str, request: Any, context: Context, scope: str | Purpose) -> Message | None:
        """As `enter`, for a place that ends the call itself. Raises Refused."""
        metadata = dict(context.invocation_metadata() or ())
        self.calls.append(Call(method, request, metadata))
        key = str(metadata.get("authorization", "")).removeprefix("Bearer ")
        if key not in self.keys:
            raise CredentialsInvalid
        held = self.keys[key]
        if not (permits_check(held, scope) if isinstance(scope, Purpose) else permits(held, scope)):
            raise NotPermitted(f"This key may not do this: it lacks {scope}.")
        if not self.scripted[method]:
            return None
        answer = self.scripted[method].popleft()
        if isinstance(answer, Refused):
            raise answer
        return answer

    def look_up(self, subject: lookup_pb2.Subject, charged: bool = False) -> lookup_pb2.Answer:
        """Decide one subject from the state of this very moment."""
        try:
            self._read(subject)
            if charged and self.requests_left is not None:
                if self.requests_left <= 0:
                    raise QuotaExceeded("requests", 100, 250)
                self.requests_left -= 1
        except Refused as refused:
            return _refused(refused)
        names = {subject.phone, subject.document.number, subject.bst} - {""}
        bst = next((self.tokens[name] for name in sorted(names) if name in self.tokens), "")
        answer = lookup_pb2.Answer(
            bst=bst, revision="cmV2aXNpb24", risk_level=exclusion_pb2.RISK_LEVEL_UNKNOWN
        )
        if names & self.excluded:
            answer.outcome, answer.basis = lookup_pb2.OUTCOME_EXCLUDED, lookup_pb2.BASIS_PHONE
        elif self.stale:
            answer.outcome = lookup_pb2.OUTCOME_INDETERMINATE
            answer.reason = lookup_pb2.INDETERMINATE_REASON_REGISTER_STALE
        else:
            answer.outcome = lookup_pb2.OUTCOME_NOT_EXCLUDED
        return answer

    def _read(self, subject: lookup_pb2.Subject | bst_pb2.GenerateRequest) -> None:
        if subject.phone:
            parse_phone(subject.phone)
        if subject.HasField("document"):
            name = (
                identity_pb2.DocumentType.Name(subject.document.type).removeprefix("DOCUMENT_TYPE_").lower()
            )
            parse_document(DocumentType(name), subject.document.number)

    async def may_answer(self) -> None:
        """Keep an answer back while the test holds it."""
        if self.held is not None:
            await self.held.wait()
        if self.delay_s is not None:
            await asyncio.sleep(self.delay_s())


async def _serving(_request: bytes, _context: Context) -> bytes:
    return b"\x08\x01"


def _refused(refused: Refused) -> lookup_pb2.Answer:
    quota = refused.reason == "QUOTA_EXCEEDED"
    return lookup_pb2.Answer(
        outcome=lookup_pb2.OUTCOME_INDETERMINATE,
        reason=lookup_pb2.INDETERMINATE_REASON_QUOTA_EXCEEDED
        if quota
        else lookup_pb2.INDETERMINATE_REASON_INVALID_IDENTITY,
        error=lookup_pb2.ItemError(
            reason=refused.reason,
            field=refused.field or "",
            message=refused.message,
            retry_after_ms=refused.retry_after_ms or 0,
        ),
    )


def _purpose(number: lookup_pb2.Purpose.ValueType) -> Purpose:
    return (
        Purpose(lookup_pb2.Purpose.Name(number).removeprefix("PURPOSE_").lower())
        if number
        else Purpose.EXCLUSION
    )


def _checks_of(message: lookup_pb2.StreamCheckRequest) -> list[lookup_pb2.StreamCheckRequest]:
    """The checks that a message carries, each as a message of its own."""
    first, further = lookup_pb2.StreamCheckRequest(), list(message.more)
    first.CopyFrom(message)
    first.ClearField("more")
    return [
        first,
        *(
            lookup_pb2.StreamCheckRequest(
                sequence=item.sequence, subject=item.subject, purpose=message.purpose
            )
            for item in further
        ),
    ]


@dataclass
class _Lookup(lookup_pb2_grpc.LookupServiceServicer):
    double: RegisterDouble

    async def Check(self, request: lookup_pb2.CheckRequest, context: Context) -> Any:
        if scripted := await self.double.enter("Check", request, context, _purpose(request.purpose)):
            return scripted
        answer = self.double.look_up(request.subject)
        await self.double.may_answer()
        if answer.HasField("error"):
            await abort(context, InvalidRequest(answer.error.field, answer.error.message))
        return lookup_pb2.CheckResponse(answer=answer)

    async def BatchCheck(self, request: lookup_pb2.BatchCheckRequest, context: Context) -> Any:
        if scripted := await self.double.enter("BatchCheck", request, context, _purpose(request.purpose)):
            return scripted
        answers = [self.double.look_up(subject, request.charge_as_requests) for subject in request.subjects]
        await self.double.may_answer()
        return lookup_pb2.BatchCheckResponse(answers=answers, revision="cmV2aXNpb24")

    async def StreamCheck(
        self, request_iterator: AsyncIterator[lookup_pb2.StreamCheckRequest], context: Context
    ) -> AsyncIterator[lookup_pb2.StreamCheckResponse]:
        self.double.streams += 1
        await self.double.enter("StreamOpened", None, context, Purpose.EXCLUSION)
        answers: asyncio.Queue[lookup_pb2.StreamCheckResponse | Refused | None] = asyncio.Queue()
        waiting: set[asyncio.Task[None]] = set()

        async def answer_one(check: lookup_pb2.StreamCheckRequest) -> lookup_pb2.StreamCheckAnswer:
            response = self.double.judge("StreamCheck", check, context, _purpose(check.purpose))
            answer = response.answer if isinstance(response, lookup_pb2.CheckResponse) else None
            answer = answer or self.double.look_up(check.subject)
            await self.double.may_answer()
            return lookup_pb2.StreamCheckAnswer(sequence=check.sequence, answer=answer)

        async def answer_message(request: lookup_pb2.StreamCheckRequest) -> None:
            try:
                first, *more = await asyncio.gather(*map(answer_one, _checks_of(request)))
            except Refused as refused:
                await answers.put(refused)
                return
            await answers.put(
                lookup_pb2.StreamCheckResponse(sequence=first.sequence, answer=first.answer, more=more)
            )

        async def read() -> None:
            async for request in request_iterator:
                self.double.messages += 1
                task = asyncio.create_task(answer_message(request))
                waiting.add(task)
                task.add_done_callback(waiting.discard)
            await answers.put(None)

        reader = asyncio.create_task(read())
        try:
            while (response := await answers.get()) is not None:
                if isinstance(response, Refused):
                    await abort(context, response)
                yield response
        finally:
            for task in (reader, *waiting):
                task.cancel()


@dataclass
class _Register(register_pb2_grpc.RegisterServiceServicer):
    double: RegisterDouble
    entered: dict[str, register_pb2.Exclusion] = field(default_factory=dict)

    async def Register(self, request: register_pb2.RegisterRequest, context: Context) -> Any:
        if scripted := await self.double.enter("Register", request, context, "nser:write"):
            return scripted
        await self._judge(context, lambda: self.double._read(lookup_pb2.Subject(phone=request.phone)))
        self.double.excluded.add(request.phone)
        exclusion = an_exclusion(request.request_id, request.period)
        self.entered[exclusion.id] = exclusion
        return register_pb2.RegisterResponse(exclusion=exclusion)

    async def Extend(self, request: register_pb2.ExtendRequest, context: Context) -> Any:
        if scripted := await self.double.enter("Extend", request, context, "nser:write"):
            return scripted
        await self._judge(context, lambda: self._known(request.id))
        self.entered[request.id].period = request.period
        return register_pb2.ExtendResponse(exclusion=self.entered[request.id])

    async def Get(self, request: register_pb2.GetRequest, context: Context) -> Any:
        if scripted := await self.double.enter("Get", request, context, "nser:read"):
            return scripted
        await self._judge(context, lambda: self._known(request.id))
        return register_pb2.GetResponse(exclusion=self.entered[request.id])

    async def Stats(self, request: register_pb2.StatsRequest, context: Context) -> Any:
        if scripted := await self.double.enter("Stats", request, context, "nser:read"):
            return scripted
        cells = [register_pb2.StatsCell(group="1_year", count=12), register_pb2.StatsCell(group="permanent")]
        response = register_pb2.StatsResponse(cells=cells)
        response.as_of.FromDatetime(NOW)
        return response

    def _known(self, exclusion_id: str) -> None:
        try:
            UUID(exclusion_id)
        except ValueError:
            raise InvalidRequest("id", "id must be a UUID.") from None
        if exclusion_id not in self.entered:
            raise ExclusionNotFound

    async def _judge(self, context: Context, rule: Callable[[], None]) -> None:
        try:
            rule()
        except Refused as refused:
            await abort(context, refused)


def an_exclusion(request_id: str, period: exclusion_pb2.Period.ValueType) -> register_pb2.Exclusion:
    permanent = period == exclusion_pb2.PERIOD_PERMANENT
    exclusion = register_pb2.Exclusion(
        id=str(uuid5(NAMESPACE_URL, request_id)),
        bst=a_bst(request_id),
        state=exclusion_pb2.EXCLUSION_STATE_ACTIVE,
        period=period,
        effective_date="2026-11-25",
        expiry_date="" if permanent else "2027-11-25",
        revision="cmV2aXNpb24",
    )
    exclusion.effective_at.FromDatetime(NOW)
    if not permanent:
        exclusion.expires_at.FromDatetime(NOW.replace(year=2027))
    return exclusion


def a_bst(of: str) -> str:
    return f"BST-02-{uuid5(NAMESPACE_URL, of).hex.upper()}-ABCD"


@dataclass
class _Bst(bst_pb2_grpc.BstServiceServicer):
    double: RegisterDouble

    async def Generate(self, request: bst_pb2.GenerateRequest, context: Context) -> Any:
        if scripted := await self.double.enter("Generate", request, context, "bst:write"):
            return scripted
        try:
            self.double._read(request)
        except Refused as refused:
            await abort(context, refused)
        await self.double.may_answer()
        name = request.phone or request.document.number
        created = name not in self.double.tokens
        bst = self.double.tokens.setdefault(name, a_bst(name))
        response = bst_pb2.GenerateResponse(bst=bst, version=2, created=created, revision="cmV2aXNpb24")
        response.created_at.FromDatetime(NOW)
        return response

    async def Validate(self, request: bst_pb2.ValidateRequest, context: Context) -> Any:
        if scripted := await self.double.enter("Validate", request, context, "bst:read"):
            return scripted
        if request.bst in self.double.tokens.values():
            return bst_pb2.ValidateResponse(valid=True, status=bst_pb2.TOKEN_STATUS_LIVE)
        malformed = not request.bst.startswith(("BST-02-", "BST-03-"))
        status = bst_pb2.TOKEN_STATUS_MALFORMED if malformed else bst_pb2.TOKEN_STATUS_UNKNOWN
        return bst_pb2.ValidateResponse(valid=False, status=status, reason="The register does not know it.")

    async def Rotate(self, request: bst_pb2.RotateRequest, context: Context) -> Any:
        if scripted := await self.double.enter("Rotate", request, context, "bst:write"):
            return scripted
        new = a_bst(request.request_id)
        response = bst_pb2.RotateResponse(bst=new, replaces=request.bst, version=2, revision="cmV2aXNpb24")
        response.created_at.FromDatetime(NOW)
        return response

    async def History(self, request: bst_pb2.HistoryRequest, context: Context) -> Any:
        if scripted := await self.double.enter("History", request, context, "bst:read"):
            return scripted
        use = bst_pb2.TokenUse(operator="Bet Ltd", action="checked", purpose="exclusion")
        use.at.FromDatetime(NOW)
        if request.page_token:
            return bst_pb2.HistoryResponse(uses=[bst_pb2.TokenUse(at=use.at, action="generated")])
        return bst_pb2.HistoryResponse(uses=[use], next_page_token="x" * 150)


@dataclass
class _Access(access_pb2_grpc.AccessServiceServicer):
    double: RegisterDouble

    async def CreateKey(self, request: access_pb2.CreateKeyRequest, context: Context) -> Any:
        if scripted := await self.double.enter("CreateKey", request, context, "nser:admin"):
            return scripted
        key = access_pb2.Key(
            key_id="k1",
            operator=request.operator,
            scopes=request.scopes,
            state=access_pb2.KEY_STATE_ACTIVE,
            token_kind=request.token_kind or access_pb2.TOKEN_KIND_GLOBAL,
        )
        return access_pb2.CreateKeyResponse(key=key, secret="nser_test_k1_secret")

    async def ListKeys(self, request: access_pb2.ListKeysRequest, context: Context) -> Any:
        if scripted := await self.double.enter("ListKeys", request, context, "nser:admin"):
            return scripted
        if request.page_token:
            key = access_pb2.Key(key_id="k2", operator="Bet Ltd", state=access_pb2.KEY_STATE_REVOKED)
            return access_pb2.ListKeysResponse(keys=[key])
        key = access_pb2.Key(key_id="k1", operator="Bet Ltd", state=access_pb2.KEY_STATE_ACTIVE)
        return access_pb2.ListKeysResponse(keys=[key], next_page_token="after k1")

    async def RevokeKey(self, request: access_pb2.RevokeKeyRequest, context: Context) -> Any:
        if scripted := await self.double.enter("RevokeKey", request, context, "nser:admin"):
            return scripted
        key = access_pb2.Key(key_id=request.key_id, state=access_pb2.KEY_STATE_REVOKED)
        return access_pb2.RevokeKeyResponse(key=key)
