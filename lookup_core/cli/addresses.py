"""Where the servers are: the environment says, else the system that runs in this home, else the default ports."""

import os
from typing import Final

from lookup_core.cli.exits import CommandFailed, ExitCode
from lookup_core.cli.home import RunHome

# Process name -> (serves on, tells its status on); NSER_PORT_OFFSET is added to each.
PORTS: Final = {
    "registrar": (50052, 9101),
    "replica-1": (50051, 9102),
    "bridge": (8080, 9103),
    "replica-2": (50061, 9104),
    "witness": (8086, 8086),
}
# Below the range from which the system lends ports to clients; a taken one is replaced by another.
POSTGRES_PORT: Final = 15432
REDIS_PORT: Final = 16379
HIGHEST_OFFSET: Final = 14_000
"""Every port stays below 65536; the processes' own settings take no more either."""
CLEAR_OFFSET: Final = 11_000
"""From here on every port lies outside the range that Linux lends to client connections (32768 to 60999): enough for
thirty checkouts side by side, a hundred ports apart. The default ports of gRPC lie in that range, as is usual."""


def port_offset() -> int:
    """NSER_PORT_OFFSET, 0 by default."""
    text = os.environ.get("NSER_PORT_OFFSET", "").strip() or "0"
    if not text.isascii() or not text.isdigit() or int(text) > HIGHEST_OFFSET:
        raise CommandFailed(
            f"NSER_PORT_OFFSET must be a whole number from 0 to {HIGHEST_OFFSET}, not {text!r}.",
            code=ExitCode.USAGE,
            attempt=f"NSER_PORT_OFFSET={CLEAR_OFFSET} nser run",
        )
    return int(text)


def another_offset() -> int:
    """What to shift by when a port of the present shift is taken."""
    after = port_offset() + 100
    return after if CLEAR_OFFSET <= after <= HIGHEST_OFFSET else CLEAR_OFFSET


def serves_on(name: str) -> str:
    return f"127.0.0.1:{PORTS[name][0] + port_offset()}"


def tells_on(name: str) -> str:
    return f"127.0.0.1:{PORTS[name][1] + port_offset()}"


def replicas() -> list[str]:
    """The replicas' addresses, the nearest first."""
    given = os.environ.get("NSER_REPLICA_ADDRESSES") or os.environ.get("NSER_REPLICA_ADDRESS")
    if given:
        return [address.strip() for address in given.split(",") if address.strip()]
    home = RunHome.here()
    if home.running:
        return [
            record.address for record in home.all() if record.name.startswith("replica") and record.address
        ]
    return [serves_on("replica-1")]


def registrar() -> str:
    """The registrar's address."""
    if given := os.environ.get("NSER_REGISTRAR_ADDRESS"):
        return given
    home = RunHome.here()
    record = home.read("registrar") if home.running else None
    return record.address if record else serves_on("registrar")
