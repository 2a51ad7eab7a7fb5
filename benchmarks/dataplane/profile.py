"""Where a replica's CPU goes under load: `perf record` on its process, self time by groups of functions.

What the compiler put into its caller counts there: with link-time optimisation much of a small layer is in the larger
one that calls it.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.measuring import Loader
from benchmarks.peers.running import PeerRefused

A_SECOND = 997  # a prime: in step with nothing
LEAD_S = 1.5
OTHER = "other"
# The first that fits counts: ours by its module, then the libraries by their names.
GROUPS: Sequence[tuple[str, re.Pattern[str]]] = tuple(
    (name, re.compile(pattern))
    for name, pattern in (
        ("hash (HMAC-SHA-256)", r"sha2::|sha256|hmac|_dataplane::identity"),
        ("index", r"_dataplane::(index|table|people|version|check|lease)"),
        ("lookup log", r"_dataplane::(log|segment)|crc32|crossbeam_queue"),
        ("quota and API key", r"_dataplane::(quota|budgets|apikey|authentication)|subtle::"),
        ("metrics", r"_dataplane::metrics"),
        ("decode and encode", r"prost::|_dataplane::(codec|proto|asked|answer|wire)"),
        ("gRPC", r"_dataplane::(carried|exchange)"),
        ("service, normalising", r"_dataplane::(?!python)"),
        ("TLS", r"rustls|ring::|aes_|gcm|chacha"),
        ("HTTP/2 (h2)", r"\bh2::|http_body|\bhttp::|slab::"),
        ("gRPC", r"tonic|tower"),
        ("runtime (tokio)", r"tokio|mio::|futures|parking_lot|core::task|__tls_get_addr"),
        ("clock", r"clock_gettime|Timespec"),
        (
            "memory (allocate, copy, compare)",
            r"alloc(?!::fmt)|_free\b|cfree|unlink_chunk|mem(cpy|move|set|cmp)|bytes::",
        ),
        ("text and hashing of Rust's library", r"core::|std::|alloc::fmt"),
        ("Python", r"^_?Py|pyo3|python"),
    )
)
_NETWORK = re.compile(
    r"tcp|inet|sock|skb|(^|_)(ip|net|sk|fib|bbr)_|netif|napi|loopback|dev_queue|local_deliver|_iter$|csum|(send|recv)(msg|to|from)"
)
_LINE = re.compile(
    r"^\s*(?P<share>[\d.]+)%\s*\|\s*(?P<object>[^|]*?)\s*\|\s*\[(?P<mode>.)\]\s*(?P<symbol>.*?)\s*$"
)


async def record(pid: int, loader: Loader, seconds: float) -> dict[str, float]:
    """Share of the process's CPU by group, in per cent, under load flat out. Raises PeerRefused without perf."""
    perf = shutil.which("perf")
    if perf is None:
        raise PeerRefused("perf is not installed, so nothing is profiled: apt-get install linux-perf")
    with tempfile.TemporaryDirectory(prefix="nser-perf-") as folder:
        data = Path(folder) / "perf.data"
        load = asyncio.create_task(loader.once("unary", seconds=seconds + LEAD_S))
        await asyncio.sleep(LEAD_S)
        sample = ["record", "--freq", str(A_SECOND), "--pid", str(pid), "--output", str(data)]
        await _run([perf, *sample, "--", "sleep", str(seconds)])
        await load
        fields = ["--fields", "overhead,dso,symbol", "--field-separator", "|", "--percent-limit", "0"]
        return grouped(
            await _run([perf, "report", "--stdio", "--input", str(data), "--no-children", *fields])
        )


async def _run(command: list[str]) -> str:
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise PeerRefused(f"perf cannot be used here: {done.stderr.strip()[-300:]}")
    return str(done.stdout)


def grouped(report: str) -> dict[str, float]:
    """What `perf report` printed, added up by group; the largest first."""
    shares: dict[str, float] = {}
    for line in report.splitlines():
        if found := _LINE.match(line):
            group = group_of(found)
            shares[group] = shares.get(group, 0.0) + float(found["share"])
    return {group: round(share, 2) for group, share in sorted(shares.items(), key=lambda one: -one[1])}


def group_of(line: Mapping[str, str] | re.Match[str]) -> str:
    """Give the group of one function: its object, `mode` (k for the kernel) and symbol."""
    symbol = line["symbol"]
    if line["mode"] == "k":
        return "kernel, network" if _NETWORK.search(symbol) else "kernel, other"
    return next((name for name, pattern in GROUPS if pattern.search(symbol)), OTHER)
