"""Bematore Screening Tokens: generate, validate, rotate, and who used one."""

from __future__ import annotations

from typing import Final
from uuid import uuid4

import msgspec
from falcon.asgi import Request, Response

from nser_bridge import answers, reading
from nser_bridge.registrations import REQUEST_ID
from nser_bridge.shapes import BstGiven, BstRotation, BstWanted
from nser_client import AsyncClient, InvalidRequest

LONGEST_CURSOR: Final = 512


class Generate:
    """POST /api/v1/bst/generate: 201 for a new token, 200 for the one that the person had."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def on_post(self, request: Request, response: Response) -> None:
        speaker = self._client.on_behalf_of(
            reading.api_key(request), correlation_id=request.context.correlation_id
        )
        wanted = await reading.body(request, BstWanted)
        if wanted.phone is None and wanted.id_number is None:
            raise InvalidRequest("Nobody is named: give phone, id_number, or both.", field="phone")
        generated = await speaker.generate_bst(
            phone=wanted.phone,
            id_number=wanted.id_number,
            id_type=wanted.id_type,
            date_of_birth=wanted.date_of_birth,
        )
        response.status = 201 if generated.created else 200
        response.data = msgspec.json.encode(answers.token(generated))


class Validate:
    """POST /api/v1/bst/validate: 200 whatever the token is worth."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def on_post(self, request: Request, response: Response) -> None:
        speaker = self._client.on_behalf_of(
            reading.api_key(request), correlation_id=request.context.correlation_id
        )
        given = await reading.body(request, BstGiven)
        response.data = msgspec.json.encode(answers.validity(await speaker.validate_bst(given.bst)))


class Rotate:
    """POST /api/v1/bst/rotate: a new token in the place of one, which goes on resolving."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def on_post(self, request: Request, response: Response) -> None:
        speaker = self._client.on_behalf_of(
            reading.api_key(request), correlation_id=request.context.correlation_id
        )
        wanted = await reading.body(request, BstRotation)
        request_id = wanted.request_id or str(uuid4())
        response.set_header(REQUEST_ID, request_id)
        rotated = await speaker.rotate_bst(wanted.bst, reason=wanted.reason, request_id=request_id)
        response.data = msgspec.json.encode(answers.successor(rotated))


class History:
    """GET /api/v1/bst/{token}/history: a page of uses, newest first."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def on_get(self, request: Request, response: Response, token: str) -> None:
        speaker = self._client.on_behalf_of(
            reading.api_key(request), correlation_id=request.context.correlation_id
        )
        asked = reading.query(request, ("cursor",), longest=LONGEST_CURSOR)
        page = await speaker.bst_history(token, page_token=asked.get("cursor"))
        response.data = msgspec.json.encode(answers.history(page))
