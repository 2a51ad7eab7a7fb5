"""What the bridge counts, and where it tells it: /metrics for Prometheus and /status for `nser status`.

Labels are route templates and reasons, never anything that a caller chose.
"""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_PEOPLE = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000)


class Metrics:
    """One set of counters, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "nser_bridge_requests", "Requests answered", ("route", "method", "status"), registry=self.registry
        )
        self.seconds = Histogram(
            "nser_bridge_request_seconds",
            "Time from the request to its answer",
            ("route",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.in_flight = Gauge(
            "nser_bridge_requests_in_flight", "Requests not yet answered", registry=self.registry
        )
        self.batch_people = Histogram(
            "nser_bridge_batch_people",
            "Lookups joined into one batch",
            buckets=_PEOPLE,
            registry=self.registry,
        )
        self.outcomes = Counter(
            "nser_bridge_lookups", "Lookups by outcome", ("outcome",), registry=self.registry
        )
        self.minted = Counter(
            "nser_bridge_bst_generated", "Tokens asked for at a lookup", ("result",), registry=self.registry
        )
        self.answered = 0

    def count(self, route: str, method: str, status: str, seconds: float) -> None:
        """Note one answered request."""
        self.answered += 1
        self.requests.labels(route, method, status).inc()
        self.seconds.labels(route).observe(seconds)


class Status:
    """What this process says of itself."""

    def __init__(self, metrics: Metrics) -> None:
        self.phase = "starting"
        self.address = ""
        self._metrics = metrics
        self._began = time.monotonic()

    def told(self) -> Mapping[str, Any]:
        """Return the members of /status."""
        return {
            "process": "bridge",
            "pid": os.getpid(),
            "phase": self.phase,
            "address": self.address,
            "uptime_s": round(time.monotonic() - self._began, 1),
            "requests": self._metrics.answered,
        }


Receive = Callable[[], Awaitable[Any]]
SendEvent = Callable[[Mapping[str, Any]], Awaitable[None]]


def metrics_app(
    metrics: Metrics, status: Status
) -> Callable[[Mapping[str, Any], Receive, SendEvent], Awaitable[None]]:
    """Return the ASGI application of the metrics port."""

    async def app(scope: Mapping[str, Any], _receive: Receive, send: SendEvent) -> None:
        if scope["type"] != "http":
            return
        code, kind, body = 404, "text/plain", b"See /metrics and /status.\n"
        if scope["path"] == "/metrics":
            code, kind, body = 200, CONTENT_TYPE_LATEST, generate_latest(metrics.registry)
        elif scope["path"] == "/status":
            code, kind, body = 200, "application/json", msgspec.json.encode(status.told())
        headers = [(b"content-type", kind.encode()), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": code, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return app
