"""Every call of the client, once: what it asks, of whom, with what deadline, and what the answer means.

The methods return plans (see retry.py); `Client` and `AsyncClient` run them. Their docstrings are the public ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from typing import Final, TypeVar
from uuid import UUID

from nser.access.v1 import access_pb2
from nser.bst.v1 import bst_pb2
from nser.lookup.v1 import lookup_pb2
from nser.register.v1 import register_pb2
from nser_client import answers, requests, rpcs
from nser_client.answers import (
    ApiKey,
    Exclusion,
    GeneratedToken,
    RotatedToken,
    Stats,
    TokenHistory,
    TokenValidity,
)
from nser_client.decision import Decision, decision_from, denied, is_stale, unknown_answer
from nser_client.errors import InvalidRequest, NserError, Outage
from nser_client.options import Options
from nser_client.receipts import Receipt, Receipts, receipt_from
from nser_client.requests import Registration, Subject
from nser_client.retry import Plan, Retry
from nser_client.rpcs import Request, Response, Rpc
from nser_client.vocabulary import (
    Channel,
    DocumentType,
    Period,
    Purpose,
    StatsGroup,
    TokenKind,
    number_of,
)

T = TypeVar("T")

_BATCH_MS_A_PERSON: Final = 0.5
"""A batch may take this much longer for each person in it than a single check."""

_LARGEST_PAGE: Final = 1000


class Plans:
    """The calls, without a channel."""

    def __init__(self, options: Options, retry: Retry) -> None:
        self._options = options
        self._retry = retry

    # -- checks

    def check(
        self,
        *,
        phone: str | None = None,
        id_number: str | None = None,
        id_type: str | None = None,
        bst: str | None = None,
        purpose: str = Purpose.EXCLUSION,
        at_least: str | None = None,
        fully_consistent: bool = False,
        ensure_bst: bool = False,
    ) -> Plan[Decision]:
        """Ask whether a person may be let play, now: `if client.check(phone=…, id_number=…).may_play:`.

        Give a phone, an id_number (of `id_type`, by default a national ID), both, or a bst. `at_least` is the
        `revision` of an earlier answer. `ensure_bst` has a BST minted for a person who has none; where that fails,
        `bst` is None and the answer stands. An outage answers INDETERMINATE, unless the client was made with
        raise_on_outage. Raises InvalidRequest, CredentialsInvalid, NotPermitted and their like.
        """
        request = requests.check_request(
            requests.subject_fields(phone, id_number, id_type, bst),
            number_of(Purpose, purpose, field="purpose"),
            requests.consistency_message(at_least, fully_consistent),
        )
        return (yield from self.decide(request, self.check_deadline(), ensure_bst=ensure_bst))

    def check_deadline(self) -> float:
        """Return when a check that begins now is given up."""
        return self._retry.deadline(self._options.check_timeout_ms / 1000)

    def decide(
        self,
        request: lookup_pb2.CheckRequest,
        deadline: float,
        *,
        ensure_bst: bool,
        first: int | None = None,
    ) -> Plan[Decision]:
        """Ask about one person until `deadline`, the replica `first` before others; see `check`."""
        try:
            response = yield from self._retry.ask_a_replica(
                rpcs.CHECK, request, deadline, lambda response: is_stale(response.answer), first=first
            )
            decision = decision_from(response.answer)
            if decision.error is not None:
                raise decision.error
        except Outage as error:
            if self._options.raise_on_outage:
                raise
            decision = denied(error)
        if ensure_bst and decision.bst is None and not request.subject.bst:
            return (yield from self._with_bst(decision, request.subject))
        return decision

    def _with_bst(self, decision: Decision, subject: lookup_pb2.Subject) -> Plan[Decision]:
        if self._options.registrar is None:
            return decision
        document = subject.document if subject.HasField("document") else None
        request = bst_pb2.GenerateRequest(phone=subject.phone, document=document)
        try:
            response = yield from self._retry.ask_the_registrar(
                rpcs.GENERATE, request, self._options.bst_timeout_ms / 1000
            )
        except NserError:
            return decision
        return replace(decision, bst=response.bst or None)

    def check_many(
        self,
        subjects: Sequence[Subject | Mapping[str, str]],
        *,
        purpose: str = Purpose.EXCLUSION,
        at_least: str | None = None,
        fully_consistent: bool = False,
        charge_as_requests: bool = False,
    ) -> Plan[list[Decision]]:
        """Ask about up to 10,000 people under one revision; one decision each, in the order given.

        A person who cannot be read is INDETERMINATE with `error` set, and spoils nobody else's answer. An outage makes
        every decision INDETERMINATE, unless the client was made with raise_on_outage. Raises as `check` does, and
        BatchTooLarge. `charge_as_requests` is for bridges that join single lookups.
        """
        if not subjects:
            return []
        request = requests.batch_request(
            subjects,
            purpose=purpose,
            at_least=at_least,
            fully_consistent=fully_consistent,
            charge_as_requests=charge_as_requests,
        )
        timeout_s = (self._options.check_timeout_ms + _BATCH_MS_A_PERSON * len(subjects)) / 1000
        try:
            response = yield from self._retry.ask_a_replica(
                rpcs.BATCH_CHECK,
                request,
                self._retry.deadline(timeout_s),
                lambda response: any(is_stale(a) for a in response.answers),
            )
        except Outage as error:
            if self._options.raise_on_outage:
                raise
            return [denied(error)] * len(subjects)
        if len(response.answers) != len(subjects):  # whose answer is whose cannot be told
            return [unknown_answer()] * len(subjects)
        return [decision_from(answer, response.revision) for answer in response.answers]

    # -- the register

    def register(
        self,
        *,
        phone: str,
        period: str | Period,
        id_number: str | None = None,
        id_type: str | DocumentType | None = None,
        date_of_birth: str | date | None = None,
        request_id: str | UUID | None = None,
        first_name: str | None = None,
        last_name: str | None = None,
        email: str | None = None,
        county: int | None = None,
        channel: str | Channel = Channel.API,
        verification_receipt: str | None = None,
        support_person: str | None = None,
    ) -> Plan[Exclusion]:
        """Enter an exclusion. When this returns, no replica anywhere clears this person.

        The document and the date of birth may be left out only for 24_hours. `county` is 1 to 47. Every NserError
        carries the `request_id` to repeat it with; RecordedNotConfirmed means that it IS recorded and not yet confirmed
        everywhere.
        """
        registration = Registration(
            phone=phone,
            period=period,
            id_number=id_number,
            id_type=id_type,
            date_of_birth=date_of_birth,
            first_name=first_name,
            last_name=last_name,
            email=email,
            county=county,
            channel=channel,
            verification_receipt=verification_receipt,
            support_person=support_person,
        )
        identifier = requests.request_id_text(request_id)
        request = requests.register_request(registration, identifier)
        response = yield from self._write(rpcs.REGISTER, request, identifier)
        return answers.exclusion_from(response.exclusion)

    def extend(
        self, exclusion_id: str | UUID, *, period: str | Period, request_id: str | UUID | None = None
    ) -> Plan[Exclusion]:
        """Make an exclusion longer, counted from now. Raises PeriodNotLonger, ExclusionNotFound and as `register`."""
        identifier = requests.request_id_text(request_id)
        request = register_pb2.ExtendRequest(
            request_id=identifier,
            id=requests.text(str(exclusion_id), "id"),
            period=number_of(Period, period, field="period"),
        )
        response = yield from self._write(rpcs.EXTEND, request, identifier)
        return answers.exclusion_from(response.exclusion)

    def get(self, exclusion_id: str | UUID) -> Plan[Exclusion]:
        """Read one exclusion. Raises ExclusionNotFound."""
        request = register_pb2.GetRequest(id=requests.text(str(exclusion_id), "id"))
        response = yield from self._ask_the_registrar(rpcs.GET, request)
        return answers.exclusion_from(response.exclusion)

    def stats(
        self,
        *,
        from_date: str | date | None = None,
        to_date: str | date | None = None,
        group_by: str | StatsGroup | None = None,
    ) -> Plan[Stats]:
        """Count exclusions by effective date, both ends included; a count below 5 is suppressed (None)."""
        unspecified = register_pb2.STATS_GROUP_UNSPECIFIED
        request = register_pb2.StatsRequest(
            from_date=requests.date_text(from_date, "from_date"),
            to_date=requests.date_text(to_date, "to_date"),
            group_by=number_of(StatsGroup, group_by, field="group_by") if group_by else unspecified,
        )
        response = yield from self._ask_the_registrar(rpcs.STATS, request)
        return answers.stats_from(response)

    # -- tokens

    def generate_bst(
        self,
        *,
        phone: str | None = None,
        id_number: str | None = None,
        id_type: str | DocumentType | None = None,
        date_of_birth: str | date | None = None,
    ) -> Plan[GeneratedToken]:
        """Return the one live BST of a person, minted if there is none."""
        subject = requests.subject_message(Subject(phone=phone, id_number=id_number, id_type=id_type))
        request = bst_pb2.GenerateRequest(
            phone=subject.phone,
            document=subject.document if subject.HasField("document") else None,
            date_of_birth=requests.date_text(date_of_birth, "date_of_birth"),
        )
        response = yield from self._ask_the_registrar(rpcs.GENERATE, request)
        return answers.token_from(response)

    def validate_bst(self, bst: str) -> Plan[TokenValidity]:
        """Tell whether a BST resolves, and if not, why."""
        request = bst_pb2.ValidateRequest(bst=requests.text(bst, "bst"))
        response = yield from self._ask_the_registrar(rpcs.VALIDATE, request)
        return answers.validity_from(response)

    def rotate_bst(
        self, bst: str, *, reason: str, request_id: str | UUID | None = None
    ) -> Plan[RotatedToken]:
        """Give a person a new live BST in the place of this one, which goes on resolving.

        When this returns, every replica knows both. Raises TokenNotFound, also for a BST that your operator had not
        from the register, TokenNotLive for one that was rotated or revoked before, and as `register`.
        """
        identifier = requests.request_id_text(request_id)
        request = bst_pb2.RotateRequest(
            request_id=identifier,
            bst=requests.text(bst, "bst"),
            reason=requests.text(reason, "reason"),
        )
        response = yield from self._write(rpcs.ROTATE, request, identifier)
        return answers.rotated_from(response)

    def bst_history(
        self, bst: str, *, page_size: int = 0, page_token: str | None = None
    ) -> Plan[TokenHistory]:
        """Tell who used a person's BSTs, when and for what, newest first: your operator's own uses.

        Give the `next` of a page as `page_token` for the one after it. Raises TokenNotFound.
        """
        if not 0 <= page_size <= _LARGEST_PAGE:
            raise InvalidRequest(f"page_size is 0 to {_LARGEST_PAGE}.", field="page_size")
        request = bst_pb2.HistoryRequest(
            bst=requests.text(bst, "bst"),
            page_size=page_size,
            page_token=requests.text(page_token or "", "page_token"),
        )
        response = yield from self._ask_the_registrar(rpcs.HISTORY, request)
        return answers.history_from(response)

    # -- receipts

    def receipts(
        self,
        *,
        bst: str | None = None,
        correlation_id: str | None = None,
        from_: datetime | None = None,
        to: datetime | None = None,
        operator_id: str | UUID | None = None,
    ) -> Plan[Receipts]:
        """Fetch the receipts of this operator's checks of a BST, or of the call with this correlation id.

        From `from_` on and before `to` (aware); left out, all of them. For a call both are needed, 10 minutes apart at
        most. What was asked in the last seconds is `pending`, or not there yet. Keep them with `save`, and verify them
        with `receipt_proofs.verify_receipt`. `operator_id` is for administrators.
        """
        request = requests.receipts_request(bst, correlation_id, (from_, to), operator_id)
        found: list[Receipt] = []
        pending, unprovable, retry_after_s = 0, 0, 0.0
        while True:
            response = yield from self._ask_the_registrar(rpcs.FETCH_RECEIPTS, request)
            found += [receipt_from(each) for each in response.receipts]
            pending, unprovable = pending + response.pending, unprovable + response.unprovable
            retry_after_s = max(retry_after_s, response.retry_after.ToTimedelta().total_seconds())
            if not response.next_page_token:
                return Receipts(found, pending, retry_after_s, unprovable)
            request.page_token = response.next_page_token

    # -- keys

    def create_key(
        self,
        *,
        operator: str,
        scopes: Sequence[str],
        requests_per_second: int = 0,
        people_per_second: int = 0,
        token_kind: str | None = None,
        request_id: str | UUID | None = None,
    ) -> Plan[ApiKey]:
        """Make an API key for an operator. Its `secret` is shown here only: store it now.

        `token_kind` is chosen with an operator's first key (global by default) and never changed. None: as it is.
        """
        identifier = requests.request_id_text(request_id)
        request = access_pb2.CreateKeyRequest(
            request_id=identifier,
            operator=requests.text(operator, "operator"),
            scopes=[requests.text(scope, "scopes") for scope in scopes],
            requests_per_second=requests_per_second,
            people_per_second=people_per_second,
            token_kind=_token_kind(token_kind),
        )
        response = yield from self._write(rpcs.CREATE_KEY, request, identifier)
        return answers.key_from(response.key, response.secret)

    def list_keys(self, *, operator_id: str | UUID | None = None) -> Plan[list[ApiKey]]:
        """List every key, or those of one operator, by id; revoked ones too, as not `active`. No secret is shown."""
        operator = "" if operator_id is None else requests.text(str(operator_id), "operator_id")
        request = access_pb2.ListKeysRequest(operator_id=operator, page_size=_LARGEST_PAGE)
        keys: list[ApiKey] = []
        while True:
            response = yield from self._ask_the_registrar(rpcs.LIST_KEYS, request)
            keys += [answers.key_from(key) for key in response.keys]
            if not response.next_page_token:
                return keys
            request = access_pb2.ListKeysRequest(
                operator_id=operator, page_size=_LARGEST_PAGE, page_token=response.next_page_token
            )

    def revoke_key(
        self, key_id: str, *, reason: str = "", request_id: str | UUID | None = None
    ) -> Plan[ApiKey]:
        """Revoke a key. When this returns, no replica accepts it any more."""
        identifier = requests.request_id_text(request_id)
        request = access_pb2.RevokeKeyRequest(
            request_id=identifier,
            key_id=requests.text(key_id, "key_id"),
            reason=requests.text(reason, "reason"),
        )
        response = yield from self._write(rpcs.REVOKE_KEY, request, identifier)
        return answers.key_from(response.key)

    # -- how

    def _ask_the_registrar(self, rpc: Rpc[Request, Response], request: Request) -> Plan[Response]:
        return (yield from self._retry.ask_the_registrar(rpc, request, self._options.write_timeout_ms / 1000))

    def _write(self, rpc: Rpc[Request, Response], request: Request, request_id: str) -> Plan[Response]:
        try:
            return (yield from self._ask_the_registrar(rpc, request))
        except NserError as error:
            error.request_id = request_id
            raise


def _token_kind(word: str | None) -> access_pb2.TokenKind.ValueType:
    if word is None:
        return access_pb2.TOKEN_KIND_UNSPECIFIED
    number: access_pb2.TokenKind.ValueType = number_of(TokenKind, word, field="token_kind")
    return number
