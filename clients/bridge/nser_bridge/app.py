"""The composition root of the bridge: routes, and what stands behind them. Opens nothing by itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import falcon.asgi

from nser_bridge import health, lookups, registrations, tokens
from nser_bridge.around import Around, Errors
from nser_bridge.metrics import Metrics, Status
from nser_bridge.settings import BridgeSettings
from nser_client import AsyncClient

App = falcon.asgi.App[Any, Any]

_WAIT_IN_THE_LANE: Final = 2  # a lookup may wait for a batch before its own


class Bridge:
    """The application with its parts. Made inside the event loop that it will run in, and closed there."""

    def __init__(self, settings: BridgeSettings) -> None:
        self.metrics = Metrics()
        self.status = Status(self.metrics)
        self.client = AsyncClient(
            replicas=settings.replicas,
            registrar=settings.registrar_address,
            tls=settings.tls(),
            insecure=settings.insecure,
            check_timeout_ms=settings.check_timeout_ms,
            write_timeout_ms=settings.write_timeout_ms,
            bst_timeout_ms=settings.bst_timeout_ms,
            raise_on_outage=True,
        )
        self._lookups = lookups.Lookups(
            self.client,
            self.metrics,
            timeout_s=_WAIT_IN_THE_LANE * settings.check_timeout_ms / 1000,
            bst_timeout_s=settings.bst_timeout_ms / 1000,
        )
        self.app = falcon.asgi.App(middleware=[Around(self.metrics)])
        Errors(settings.docs_url).install(self.app)
        for template, resource in self.routes():
            self.app.add_route(template, resource)

    def routes(self) -> Iterator[tuple[str, object]]:
        """Every route with its resource; tests hold openapi.yaml equal to it."""
        yield "/api/v1/nser/register", registrations.Register(self.client)
        yield "/api/v1/nser/lookup/{phone}", lookups.PhoneLookup(self._lookups)
        yield "/api/v1/nser/{exclusion_id}/extend", registrations.Extend(self.client)
        yield "/api/v1/nser/stats", registrations.Stats(self.client)
        yield "/api/v1/bst/generate", tokens.Generate(self.client)
        yield "/api/v1/bst/validate", tokens.Validate(self.client)
        yield "/api/v1/bst/rotate", tokens.Rotate(self.client)
        yield "/api/v1/bst/{token}/history", tokens.History(self.client)
        yield "/api/v1/operators/lookup", lookups.OperatorLookup(self._lookups)
        yield "/api/v1/operators/batch/lookup", lookups.BatchLookups(self._lookups)
        yield "/health", health.Health()
        yield "/ready", health.Ready(self.client, self.status)
        yield "/openapi.json", health.OpenApi()

    async def close(self) -> None:
        """Close the channels."""
        await self.client.close()
