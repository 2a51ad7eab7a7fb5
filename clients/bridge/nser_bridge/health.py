"""Whether the bridge lives, whether it can answer, and what it can be asked."""

from __future__ import annotations

from functools import cache
from importlib import resources

import msgspec
from falcon.asgi import Request, Response

from nser_bridge.metrics import Status
from nser_bridge.problems import Problem
from nser_client import AsyncClient


class Health:
    """GET /health: this process answers. It says nothing about the register."""

    async def on_get(self, _request: Request, response: Response) -> None:
        response.data = b'{"status":"ok"}'


class Ready:
    """GET /ready: at least one replica serves, and this process is not going away."""

    def __init__(self, client: AsyncClient, status: Status) -> None:
        self._client = client
        self._status = status

    async def on_get(self, _request: Request, response: Response) -> None:
        if self._status.phase == "draining":
            raise Problem(503, "DRAINING", "This bridge is going away. Ask another one.")
        serving = await self._client.replicas_serving()
        if not any(serving.values()):
            raise Problem(
                503, "UNREACHABLE", "No replica of the register serves now. Let nobody play meanwhile."
            )
        response.data = msgspec.json.encode({"status": "ready", "replicas": sum(serving.values())})


@cache
def openapi() -> bytes:
    """Return the description of REST v1 as JSON."""
    text = (resources.files("nser_bridge") / "openapi.yaml").read_text(encoding="utf-8")
    return msgspec.json.encode(msgspec.yaml.decode(text))


class OpenApi:
    """GET /openapi.json."""

    async def on_get(self, _request: Request, response: Response) -> None:
        response.data = openapi()
