"""The page for Prometheus and `nser status`."""

from __future__ import annotations

import asyncio
import json

from lookup_core.kernel.status_page import StatusPage
from lookup_core.replica.metrics import MEANINGS, Metrics


async def asked(address: str, request: bytes) -> tuple[bytes, bytes]:
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request)
    answer = await reader.read()
    writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    return head, body


async def test_metrics_and_status_are_shown_and_nothing_else() -> None:
    metrics = Metrics(
        lambda: {
            "calls": [("Check", "OK", 1)],
            "answers": [("Check", "EXCLUDED", 3)],
            "seconds": {"Check": ([("0.001", 0), ("+Inf", 1)], 0.002)},
            "open_streams": 0,
            "open_connections": 1,
            "refused_connections": 0,
            "failed_handshakes": 0,
            "dropped_connections": 0,
        }
    )
    metrics.watch(lambda: dict.fromkeys(MEANINGS, 7))

    async def status() -> dict[str, object]:
        return {"phase": "following", "lease_ms": 1_900}

    page = StatusPage(metrics.page, status)
    address = await page.listen("127.0.0.1:0")
    try:
        head, body = await asked(address, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK")
        for line in (
            b'nser_replica_calls_total{code="OK",rpc="Check"} 1.0',
            b'nser_replica_answers_total{outcome="EXCLUDED",rpc="Check"} 3.0',
            b'nser_replica_call_seconds_bucket{le="+Inf",rpc="Check"} 1.0',
            b"nser_replica_lease_remaining_ms 7.0",
            b"nser_replica_polls_total 7.0",
        ):
            assert line in body
        _, body = await asked(address, b"GET /status HTTP/1.1\r\n\r\n")
        assert json.loads(body) == {"phase": "following", "lease_ms": 1_900}
        for request, code in (
            (b"GET / HTTP/1.1\r\n\r\n", b"404"),
            (b"POST /status HTTP/1.1\r\n\r\n", b"405"),
            (b"nonsense\r\n\r\n", b"405"),
        ):
            head, _ = await asked(address, request)
            assert head.startswith(b"HTTP/1.1 " + code)
    finally:
        await page.close()
