"""Entering and extending exclusions, and counting them."""

from __future__ import annotations

from uuid import uuid4

import msgspec
from falcon.asgi import Request, Response

from nser_bridge import answers, reading
from nser_bridge.shapes import Extension, Registration
from nser_client import AsyncClient, InvalidRequest

REQUEST_ID = "X-Request-Id"
"""The header that tells the request id that was used, so that a caller who sent none can still repeat the request."""


class Register:
    """POST /api/v1/nser/register."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def on_post(self, request: Request, response: Response) -> None:
        speaker = self._client.on_behalf_of(
            reading.api_key(request), correlation_id=request.context.correlation_id
        )
        wanted = await reading.body(request, Registration)
        request_id = wanted.request_id or str(uuid4())
        response.set_header(REQUEST_ID, request_id)
        fields = {name: getattr(wanted, name) for name in Registration.__struct_fields__}
        entered = await speaker.register(**{**fields, "request_id": request_id})
        response.status = 201
        response.data = msgspec.json.encode(answers.exclusion(entered))


class Extend:
    """PUT /api/v1/nser/{id}/extend."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def on_put(self, request: Request, response: Response, exclusion_id: str) -> None:
        speaker = self._client.on_behalf_of(
            reading.api_key(request), correlation_id=request.context.correlation_id
        )
        wanted = await reading.body(request, Extension)
        request_id = wanted.request_id or str(uuid4())
        response.set_header(REQUEST_ID, request_id)
        entered = await speaker.extend(exclusion_id, period=wanted.period, request_id=request_id)
        response.data = msgspec.json.encode(answers.exclusion(entered))


# What is grouped by is called as in the other answers: an exclusion's state is its `status` in REST.
GROUPS = {"period": "period", "status": "state", "county": "county", "channel": "channel", "month": "month"}


class Stats:
    """GET /api/v1/nser/stats."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def on_get(self, request: Request, response: Response) -> None:
        speaker = self._client.on_behalf_of(
            reading.api_key(request), correlation_id=request.context.correlation_id
        )
        asked = reading.query(request, ("from", "to", "group_by"))
        group = asked.get("group_by")
        if group is not None and group not in GROUPS:
            raise InvalidRequest(f"group_by takes one of: {', '.join(GROUPS)}.", field="group_by")
        counted = await speaker.stats(
            from_date=asked.get("from"), to_date=asked.get("to"), group_by=GROUPS[group] if group else None
        )
        response.data = msgspec.json.encode(answers.stats(counted))
