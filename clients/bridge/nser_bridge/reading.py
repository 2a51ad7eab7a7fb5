"""Reading a request: the caller's key, its correlation id, its body and its query. Whatever is wrong is a Problem.

Bounds first: nothing is decoded before its size is known. No message repeats more than a short, printable piece of what
was sent.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Collection, Mapping
from typing import Final, TypeVar
from uuid import uuid4

import msgspec
from falcon.asgi import Request

from nser_bridge.problems import Problem
from nser_client.options import is_sendable

SINGLE_BYTES: Final = 64 * 1024
BATCH_BYTES: Final = 2 * 1024 * 1024
_BODY_S: Final = 15.0
_LONGEST_NAME: Final = 40

_CORRELATION: Final = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(?:-?[0-9a-fA-F]{4}){3}-?[0-9a-fA-F]{12}")
_NUMBER_OF_SOMEBODY: Final = re.compile(r"\d{6,}")
_UNKNOWN_FIELD: Final = re.compile(
    r"^Object contains unknown field `(?P<name>.*?)`(?: - at `\$(?P<path>[^`]*)`)?$", re.DOTALL
)
_MISSING_FIELD: Final = re.compile(
    r"^Object missing required field `(?P<name>\w+)`(?: - at `\$(?P<path>.*)`)?$"
)
_AT: Final = re.compile(r"^(?P<said>.*?)(?: - at `\$(?P<path>.*)`)?$", re.DOTALL)

S = TypeVar("S", bound=msgspec.Struct)


def correlation_id(sent: str | None) -> str:
    """Return the caller's id if it is one, else a new one. A text that could be a phone is not an id."""
    if (
        sent
        and _CORRELATION.fullmatch(sent)
        and (_UUID.fullmatch(sent) or not _NUMBER_OF_SOMEBODY.search(sent))
    ):
        return sent
    return uuid4().hex


def api_key(request: Request) -> str:
    """Return the caller's key, to be judged by the servers. Raises Problem when none, or none that can be, was sent."""
    scheme, _, key = (request.auth or "").partition(" ")
    key = key.strip()
    if scheme.lower() != "bearer" or not is_sendable(key):
        raise Problem(
            401,
            "CREDENTIALS_INVALID",
            "The API key is missing or not valid. Send it as: Authorization: Bearer nser_…",
        )
    return key


async def body(request: Request, shape: type[S], *, limit: int = SINGLE_BYTES) -> S:
    """Read the JSON body as `shape`. Raises Problem 400, 408, 413 or 415."""
    media_type, _, _ = (request.content_type or "").partition(";")
    if media_type.strip().lower() != "application/json" or request.get_header("Content-Encoding"):
        raise Problem(
            415,
            "UNSUPPORTED_MEDIA_TYPE",
            "The body must be plain JSON. Send it as: Content-Type: application/json",
        )
    return decode(await _bytes(request, limit), shape)


async def _bytes(request: Request, limit: int) -> bytes:
    too_large = Problem(
        413, "BODY_TOO_LARGE", f"The body is larger than the {limit:,} bytes that this call takes."
    )
    if (request.content_length or 0) > limit:
        raise too_large
    try:
        async with asyncio.timeout(_BODY_S):
            raw: bytes = await request.stream.read(limit + 1)
    except TimeoutError:
        raise Problem(408, "BODY_TOO_SLOW", "The body did not arrive in time.") from None
    if len(raw) > limit:
        raise too_large
    return raw


def decode(raw: bytes, shape: type[S]) -> S:
    """Return the body as `shape`. Raises Problem 400 that names the field."""
    try:
        return msgspec.json.decode(raw, type=shape)
    except msgspec.ValidationError as error:
        raise _invalid(str(error), shape) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Problem(400, "INVALID_REQUEST", "The body is not valid JSON in UTF-8.") from None


def _invalid(said: str, shape: type[msgspec.Struct]) -> Problem:
    if unknown := _UNKNOWN_FIELD.match(said):
        name, path = printable(unknown["name"]), unknown["path"] or ""
        known = ", ".join(field.name for field in _struct_at(shape, path).fields)
        detail = f"{name} is not a field here. Fields: {known}."
        return Problem(400, "INVALID_REQUEST", detail, field=f"{path}.{name}".lstrip("."))
    if missing := _MISSING_FIELD.match(said):
        return Problem(400, "INVALID_REQUEST", f"{missing['name']} is missing.", field=missing["name"])
    at = _AT.match(said)
    path = (at["path"] or "") if at else ""
    what = "has a value that is not one of those allowed" if said.startswith("Invalid enum value") else None
    field = path.lstrip(".") or None
    detail = f"{field or 'The body'}: {what or _lowered(at['said'] if at else said)}."
    return Problem(400, "INVALID_REQUEST", detail + _allowed(shape, path), field=field)


def _lowered(said: str) -> str:
    return printable(said[:1].lower() + said[1:], 120)


def _struct_at(shape: type[msgspec.Struct], path: str) -> msgspec.inspect.StructType:
    """Return the innermost object of a path such as `.users[3].phone`."""
    inner: msgspec.inspect.Type = msgspec.inspect.type_info(shape)
    assert isinstance(inner, msgspec.inspect.StructType)
    found = inner
    for step in re.findall(r"\.(\w+)", path):
        inner = next((field.type for field in found.fields if field.name == step), found)
        if isinstance(inner, msgspec.inspect.ListType):
            inner = inner.item_type
        if not isinstance(inner, msgspec.inspect.StructType):
            break
        found = inner
    return found


def _allowed(shape: type[msgspec.Struct], path: str) -> str:
    """Name the words that a field takes, where it takes some."""
    name = path.rpartition(".")[2]
    for field in _struct_at(shape, path).fields:
        kinds = field.type.types if isinstance(field.type, msgspec.inspect.UnionType) else (field.type,)
        for kind in kinds:
            if field.name == name and isinstance(kind, msgspec.inspect.LiteralType):
                return f" It takes one of: {', '.join(map(str, kind.values))}."
    return ""


def printable(sent: str, longest: int = _LONGEST_NAME) -> str:
    """Return what was sent, short and without control characters."""
    shown = "".join(
        character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in sent[:longest]
    )
    return shown if len(sent) <= longest else f"{shown}…"


def query(request: Request, known: Collection[str], *, longest: int = 64) -> Mapping[str, str]:
    """Return the query's parameters. Raises Problem for an unknown one, by name, and for one that is given twice."""
    given: dict[str, str] = {}
    for name, value in request.params.items():
        if name not in known:
            shown = printable(name)
            detail = f"{shown} is not a parameter here. Parameters: {', '.join(known) or 'none'}."
            raise Problem(400, "INVALID_REQUEST", detail, field=shown)
        if not isinstance(value, str) or len(value) > longest:
            raise Problem(400, "INVALID_REQUEST", f"{name} must be given once, and be short.", field=name)
        given[name] = value
    return given
