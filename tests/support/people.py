"""People for tests that drive the servers: everybody is new, so that tests may share a register."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import uuid4

from nser.lookup.v1 import lookup_pb2
from nser.register.v1 import register_pb2
from nser.type.v1 import exclusion_pb2, identity_pb2

_numbers = itertools.count(secrets.randbelow(8_000_000))


@dataclass(frozen=True, slots=True)
class Someone:
    """A person who can be registered and asked about."""

    phone: str
    document: str
    date_of_birth: str = "1990-04-17"

    @property
    def document_message(self) -> identity_pb2.Document:
        return identity_pb2.Document(type=identity_pb2.DOCUMENT_TYPE_NATIONAL_ID, number=self.document)

    def registration(
        self,
        request_id: str | None = None,
        *,
        period: exclusion_pb2.Period.ValueType = exclusion_pb2.PERIOD_1_YEAR,
    ) -> register_pb2.RegisterRequest:
        return register_pb2.RegisterRequest(
            request_id=request_id or str(uuid4()),
            phone=self.phone,
            document=self.document_message,
            date_of_birth=self.date_of_birth,
            period=period,
            first_name="Wanjiku",
            last_name="Kamau",
            email=f"wanjiku.{self.document}@example.com",
            county=47,
            channel=exclusion_pb2.CHANNEL_WEB,
        )

    @property
    def by_phone(self) -> lookup_pb2.Subject:
        return lookup_pb2.Subject(phone=self.phone)

    @property
    def by_document(self) -> lookup_pb2.Subject:
        return lookup_pb2.Subject(document=self.document_message)

    @property
    def by_both(self) -> lookup_pb2.Subject:
        return lookup_pb2.Subject(phone=self.phone, document=self.document_message)

    @property
    def subjects(self) -> Sequence[lookup_pb2.Subject]:
        """Every way in which an operator may ask about this person."""
        return (self.by_phone, self.by_document, self.by_both)


def someone() -> Someone:
    """A person whom nothing has named yet."""
    number = next(_numbers)
    return Someone(phone=f"07{10_000_000 + number:08d}", document=str(20_000_000 + number))


def people(count: int) -> list[Someone]:
    return [someone() for _ in range(count)]
