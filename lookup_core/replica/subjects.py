"""What a request says, read once at the door: who is asked about, for which purpose, how fresh.

The constraints of `nser.lookup.v1` are written out by hand here, because every check passes them; a property test holds
them equal to the protovalidate annotations. A phone or a document leaves this module as a blind index or not at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from lookup_core.domain.blind import BlindKeys, blind_document, blind_phone
from lookup_core.domain.bst import parse_token
from lookup_core.domain.document import DocumentType, parse_document
from lookup_core.domain.outcome import Purpose
from lookup_core.domain.phone import parse_phone
from lookup_core.kernel.errors import BatchTooLarge, InvalidRequest
from lookup_core.replica.check import Subject
from nser.lookup.v1 import lookup_pb2
from nser.type.v1 import identity_pb2

LONGEST_IDENTIFIER: Final = 64
LONGEST_REVISION_TOKEN: Final = 128
LARGEST_BATCH: Final = 10_000

_PURPOSES: Final[Mapping[int, Purpose]] = {
    lookup_pb2.PURPOSE_UNSPECIFIED: Purpose.EXCLUSION,
    lookup_pb2.PURPOSE_EXCLUSION: Purpose.EXCLUSION,
    lookup_pb2.PURPOSE_MARKETING: Purpose.MARKETING,
    lookup_pb2.PURPOSE_AGE: Purpose.AGE,
}
_DOCUMENT_TYPES: Final[Mapping[int, DocumentType]] = {
    identity_pb2.DOCUMENT_TYPE_UNSPECIFIED: DocumentType.NATIONAL_ID,
    identity_pb2.DOCUMENT_TYPE_NATIONAL_ID: DocumentType.NATIONAL_ID,
    identity_pb2.DOCUMENT_TYPE_MAISHA: DocumentType.MAISHA,
    identity_pb2.DOCUMENT_TYPE_PASSPORT: DocumentType.PASSPORT,
    identity_pb2.DOCUMENT_TYPE_ALIEN: DocumentType.ALIEN,
    identity_pb2.DOCUMENT_TYPE_MILITARY: DocumentType.MILITARY,
}


@dataclass(frozen=True, slots=True)
class Freshness:
    """How fresh an answer must be; by default as fresh as the lease, which is safe."""

    at_least: str | None = None
    fully: bool = False

    @property
    def is_default(self) -> bool:
        return self.at_least is None and not self.fully


AS_THE_LEASE: Final = Freshness()


def check_constraints(asked: lookup_pb2.Subject) -> None:
    """Hold `asked` to the annotations of nser.lookup.v1.Subject. Raises InvalidRequest naming the field."""
    document = asked.document if asked.HasField("document") else None
    _check(asked.phone, asked.bst, document)


def _check(phone: str, bst: str, document: identity_pb2.Document | None) -> None:
    if len(phone) > LONGEST_IDENTIFIER:
        raise InvalidRequest("phone", f"A phone has at most {LONGEST_IDENTIFIER} characters.")
    if len(bst) > LONGEST_IDENTIFIER:
        raise InvalidRequest("bst", f"A BST has at most {LONGEST_IDENTIFIER} characters.")
    if document is not None:
        if bst:
            raise InvalidRequest("bst", "A BST stands alone: leave the document out.")
        _check_document(document)
    elif bst and phone:
        raise InvalidRequest("bst", "A BST stands alone: leave the phone out.")
    elif not (phone or bst):
        raise InvalidRequest("phone", "Nobody is named: give a phone, a document or a bst.")


def _check_document(document: identity_pb2.Document) -> None:
    if document.type not in _DOCUMENT_TYPES:
        raise InvalidRequest(
            "document.type", f"There is no document type {int(document.type)}. See DocumentType."
        )
    if not document.number:
        raise InvalidRequest(
            "document.number", "The document has no number. Write it as printed, or leave it out."
        )
    if len(document.number) > LONGEST_IDENTIFIER:
        raise InvalidRequest(
            "document.number", f"A document number has at most {LONGEST_IDENTIFIER} characters."
        )


def subject_from(keys: BlindKeys, asked: lookup_pb2.Subject) -> Subject:
    """Turn what was asked into blind indexes. Raises InvalidRequest, InvalidIdentity, MalformedToken."""
    phone, bst = asked.phone, asked.bst
    document = asked.document if asked.HasField("document") else None
    _check(phone, bst, document)
    if bst:
        return Subject(token=parse_token(bst))
    by_document = None
    if document is not None:
        by_document = blind_document(keys, parse_document(_DOCUMENT_TYPES[document.type], document.number))
    return Subject(blind_phone(keys, parse_phone(phone)) if phone else None, by_document)


def purpose_from(value: int) -> Purpose:
    """Read a purpose; none means exclusion. Raises InvalidRequest for an unknown one."""
    purpose = _PURPOSES.get(value)
    if purpose is None:
        raise InvalidRequest("purpose", f"There is no purpose {int(value)}. Use EXCLUSION, MARKETING or AGE.")
    return purpose


def freshness_from(
    request: lookup_pb2.CheckRequest | lookup_pb2.BatchCheckRequest | lookup_pb2.StreamCheckRequest,
) -> Freshness:
    """Read the consistency that a request asks for. Raises InvalidRequest."""
    if not request.HasField("consistency"):
        return AS_THE_LEASE
    consistency = request.consistency
    match consistency.WhichOneof("requirement"):
        case "minimize_latency":
            return AS_THE_LEASE
        case "fully_consistent":
            return Freshness(fully=consistency.fully_consistent)
        case "at_least":
            token = consistency.at_least
            if not 1 <= len(token) <= LONGEST_REVISION_TOKEN:
                raise InvalidRequest("consistency.at_least", "This is not a revision token from an answer.")
            return Freshness(at_least=token)
        case _:
            raise InvalidRequest("consistency", "Choose one: minimize_latency, at_least or fully_consistent.")


def asked_of(request: lookup_pb2.CheckRequest | lookup_pb2.StreamCheckRequest) -> lookup_pb2.Subject:
    """The one subject of a request. Raises InvalidRequest when there is none."""
    if not request.HasField("subject"):
        raise InvalidRequest("subject", "Nobody is named: give a subject with a phone, a document or a bst.")
    return request.subject


def check_size(request: lookup_pb2.BatchCheckRequest) -> int:
    """How many people a batch names. Raises InvalidRequest, BatchTooLarge."""
    size = len(request.subjects)
    if size == 0:
        raise InvalidRequest("subjects", "The batch names nobody. Give 1 to 10,000 subjects.")
    if size > LARGEST_BATCH:
        raise BatchTooLarge(size, LARGEST_BATCH)
    return size
