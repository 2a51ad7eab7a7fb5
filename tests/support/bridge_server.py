"""A bridge on real sockets in this process, and a client that speaks to it: for the tests of REST."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2

from nser_bridge.app import Bridge
from nser_bridge.process import _server, address_of, listen
from nser_bridge.settings import BridgeSettings
from tests.support.register_double import GOOD_KEY


def bridge_settings(*replicas: str, registrar: str | None = None, **more: Any) -> BridgeSettings:
    """Settings with generous times, so that a busy machine fails no test."""
    given: dict[str, Any] = {
        "address": "127.0.0.1:0",
        "metrics_address": "127.0.0.1:0",
        "replica_addresses": ",".join(replicas),
        "registrar_address": registrar or replicas[0],
        "check_timeout_ms": 3_000,
        "bst_timeout_ms": 2_000,
        **more,
    }
    return BridgeSettings(**given)


@asynccontextmanager
async def running_bridge(settings: BridgeSettings) -> AsyncIterator[tuple[Bridge, httpx2.AsyncClient]]:
    """Serve, and give the bridge with a client that holds the good key."""
    bridge = Bridge(settings)
    listener = listen(settings.address)
    server = _server(bridge.app, 1, settings.docs_url)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    headers = {"Authorization": f"Bearer {GOOD_KEY}"}
    base_url = f"http://{address_of(listener)}"
    async with httpx2.AsyncClient(base_url=base_url, headers=headers, timeout=20, trust_env=False) as client:
        try:
            yield bridge, client
        finally:
            server.should_exit = True
            await client.aclose()
            await serving
            await bridge.close()
