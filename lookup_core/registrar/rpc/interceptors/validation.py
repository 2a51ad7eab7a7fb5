"""Whether a request has the form that the contract says: protovalidate on every request, and bytes that are none.

The first violation gives the reason; all of them are told, each with its field.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import protovalidate
from google.protobuf.message import DecodeError, Message

from lookup_core.kernel.errors import InvalidIdentity, InvalidRequest, Refused

IDENTITY_FIELDS: Final = frozenset({"phone", "document", "date_of_birth"})
LARGEST: Final = 1024 * 1024
_WHOLE: Final = "request"


@dataclass(frozen=True, slots=True)
class Violation:
    """One field that breaks a rule, and a sentence about it."""

    field: str
    message: str

    @property
    def is_about_identity(self) -> bool:
        return self.field.partition(".")[0] in IDENTITY_FIELDS


class Malformed(Exception):
    """A request that breaks rules of its form."""

    def __init__(self, violations: Sequence[Violation]) -> None:
        super().__init__(f"{len(violations)} violations")
        self.violations = violations

    @property
    def refused(self) -> Refused:
        """The refusal for the first violation."""
        first = self.violations[0]
        refusal = InvalidIdentity if first.is_about_identity else InvalidRequest
        return refusal(first.field, first.message)


@dataclass(frozen=True, slots=True)
class Garbled:
    """In the place of a request whose bytes are not the message they should be, and why they are not."""

    message: str = "The bytes are not a message of this call. Generate the client from the published protos."


def careful(read: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    """A deserialiser that gives Garbled instead of failing: gRPC would call that INTERNAL, and it is the caller's."""

    def deserialise(content: bytes) -> Any:
        if len(content) > LARGEST:
            return Garbled(
                f"The message has {len(content):,} bytes; at most {LARGEST:,} are read. Make it smaller."
            )
        try:
            return read(content)
        except DecodeError:
            return Garbled()

    return deserialise


async def first_of(requests: AsyncIterator[Message | Garbled]) -> Message | Garbled:
    """The message of a call; Garbled where it ends without one."""
    async for request in requests:
        return request
    return Garbled()


def validate(request: Message | Garbled) -> None:
    """Raise Malformed with every rule that `request` breaks."""
    if isinstance(request, Garbled):
        raise Malformed([Violation(_WHOLE, f"{request.message} Nothing was saved.")])
    found = protovalidate.collect_violations(request)
    if found:
        raise Malformed([_violation(each.proto) for each in found])


def _violation(found: Any) -> Violation:
    """A rule of one field names its path; a rule of the whole message begins with the field: `document: needed …`."""
    message = str(found.message).rstrip(".")
    if found.field is not None and found.field.elements:
        field = ".".join(_element(each) for each in found.field.elements)
    else:
        named, colon, rest = message.partition(": ")
        field, message = (named, rest) if colon and named.isidentifier() else (_WHOLE, message)
    return Violation(field, f"{field}: {message}. Nothing was saved.")


def _element(element: Any) -> str:
    subscript = element.subscript
    return str(element.field_name) if subscript is None else f"{element.field_name}[{subscript.value}]"
