"""Throughput as h2load and ghz see it: load generators that are not ours, with one request over and over."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

from benchmarks.dataplane.bench import CONNECTIONS, STREAMS, Bench
from benchmarks.peers.build import go_program, program
from benchmarks.report import ROOT, Figure
from nser.lookup.v1 import lookup_pb2
from tests.support.people import someone

CHECK = "nser.lookup.v1.LookupService/Check"
PATIENCE_S = 120
_RATE = re.compile(r"finished in [\d.]+\w+, ([\d.]+) req/s")
_ANSWERS = re.compile(r"status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx")


class NotUnderstood(Exception):
    """What a program printed is not what was expected of it."""


async def by_h2load(bench: Bench) -> Figure:
    """Raises PeerRefused when there is no h2load."""
    asked = bench.folder / "check.grpc"
    message = lookup_pb2.CheckRequest(subject=someone().by_both).SerializeToString()
    asked.write_bytes(b"\0" + len(message).to_bytes(4, "big") + message)
    replica = await bench.replica()
    headers = {
        "content-type": "application/grpc",
        "te": "trailers",
        "authorization": bench.authorization.read_text(),
    }
    command = [
        str(program("h2load", of="nghttp2-client")),
        *("--duration", str(int(bench.plan.seconds)), "--warm-up-time", "1"),
        *("--clients", str(CONNECTIONS), "--max-concurrent-streams", str(STREAMS), "--threads", "2"),
        *("--data", str(asked), *(f"--header={name}: {value}" for name, value in headers.items())),
        f"http://{replica.address}/{CHECK}",
    ]
    per_second, failed = read_h2load(await _printed(command))
    how = f"cross-check: {CONNECTIONS} x {STREAMS}, one request over and over; {failed} not answered by HTTP 200"
    return Figure("unary checks by h2load", round(per_second), "checks/s", how)


def read_h2load(printed: str) -> tuple[float, int]:
    """Requests a second, and how many were answered by another status than 2xx."""
    rate, answers = _RATE.search(printed), _ANSWERS.search(printed)
    if rate is None or answers is None or not int(answers[1]):
        raise NotUnderstood(f"h2load: {printed[-300:]}")
    return float(rate[1]), sum(int(answers[place]) for place in (2, 3, 4))


async def by_ghz(bench: Bench) -> Figure:
    """Raises PeerRefused when it cannot be built."""
    built = await asyncio.to_thread(go_program, "ghz")
    replica = await bench.replica()
    one = someone()
    asked = {"subject": {"phone": one.phone, "document": {"type": 1, "number": one.document}}}
    command = [
        str(built),
        *("--insecure", "--proto", str(ROOT / "protos/nser/lookup/v1/lookup.proto")),
        *("--import-paths", f"{ROOT / 'protos'},{ROOT / 'protos/third_party'}", "--call", CHECK),
        *("--data", json.dumps(asked), "--metadata", json.dumps(dict(bench.system.operator_metadata))),
        *("--connections", str(CONNECTIONS), "--concurrency", str(CONNECTIONS * STREAMS)),
        *("--duration", f"{int(bench.plan.seconds)}s", "--duration-stop", "wait"),
        *("--format", "json", f"{replica.address}"),
    ]
    per_second, codes = read_ghz(await _printed(command))
    told = ", ".join(f"{count:,} {code}" for code, count in codes.items())
    how = f"cross-check: {CONNECTIONS} x {STREAMS}, one request over and over; {told}"
    return Figure("unary checks by ghz", round(per_second), "checks/s", how)


def read_ghz(printed: str) -> tuple[float, Mapping[str, int]]:
    """Requests a second, and how many ended with each gRPC code."""
    try:
        told = json.loads(printed)
        return float(told["rps"]), {
            str(code): int(count) for code, count in told["statusCodeDistribution"].items()
        }
    except (ValueError, KeyError, TypeError, AttributeError):
        raise NotUnderstood(f"ghz: {printed[:300]}") from None


async def _printed(command: list[str]) -> str:
    done = await asyncio.to_thread(
        subprocess.run, command, capture_output=True, text=True, check=False, timeout=PATIENCE_S
    )
    if done.returncode != 0:
        raise NotUnderstood(f"{Path(command[0]).name}: {(done.stderr or done.stdout).strip()[-300:]}")
    return str(done.stdout)
