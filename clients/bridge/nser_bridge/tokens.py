"""Bematore Screening Tokens: generate and validate."""

from __future__ import annotations

import msgspec
from falcon.asgi import Request, Response

from nser_bridge import answers, reading
from nser_bridge.shapes import BstGiven, BstWanted
from nser_client import AsyncClient, InvalidRequest


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
