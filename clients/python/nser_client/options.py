"""Where the servers are and how to talk to them. Reads no environment, opens nothing.

Plaintext goes to this machine only. Every other address is spoken to over TLS, by the given or the system's root
certificates, unless `insecure=True` is said.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import grpc

REGISTRAR: Final = -1
"""The number that stands for the registrar where replicas are 0, 1, 2…"""

_LONGEST_KEY: Final = 256
_LARGEST_ANSWER: Final = 16 * 1024 * 1024

CHANNEL_OPTIONS: Final[tuple[tuple[str, int], ...]] = (
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.max_receive_message_length", _LARGEST_ANSWER),
    # The client retries by itself, within its deadline; a second layer below would multiply the attempts.
    ("grpc.enable_retries", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
)


@dataclass(frozen=True, slots=True)
class Tls:
    """Root certificates in PEM (None: the system's), and a certificate of our own where the server asks for one."""

    root_certificates: bytes | None = None
    certificate_chain: bytes | None = None
    private_key: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a client needs to know. Times are milliseconds, for the whole call with its retries.

    `raise_on_outage`: raise an Outage from a check instead of answering INDETERMINATE.
    """

    replicas: Sequence[str]
    registrar: str | None = None
    api_key: str = field(default="", repr=False)
    tls: Tls | None = None
    insecure: bool = False
    check_timeout_ms: int = 500
    write_timeout_ms: int = 10_000
    bst_timeout_ms: int = 300
    raise_on_outage: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.replicas, str) or not self.replicas:
            raise ValueError('replicas takes a list of addresses, such as ["127.0.0.1:50051"].')
        if self.api_key and not is_sendable(self.api_key):
            raise ValueError("api_key must be printable ASCII of at most 256 characters.")
        if self.tls is not None and self.insecure:
            raise ValueError("Say either tls or insecure, not both.")
        for name in ("check_timeout_ms", "write_timeout_ms", "bst_timeout_ms"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be above zero: a call without a deadline can hang for ever.")

    def address(self, server: int) -> str:
        """Return the address of a replica by its number, or of the registrar."""
        if server != REGISTRAR:
            return self.replicas[server]
        if self.registrar is None:
            raise ValueError('This client was made without registrar="host:port", which this call needs.')
        return self.registrar

    def credentials(self, server: int) -> grpc.ChannelCredentials | None:
        """Return the TLS credentials for a server, or None where plaintext is allowed."""
        if self.tls is None and (self.insecure or is_loopback(self.address(server))):
            return None
        tls = self.tls or Tls()
        return grpc.ssl_channel_credentials(tls.root_certificates, tls.private_key, tls.certificate_chain)


def is_sendable(api_key: str) -> bool:
    """Whether a key can travel in a header at all; what cannot is not a key."""
    return 0 < len(api_key) <= _LONGEST_KEY and all("!" <= character <= "~" for character in api_key)


def is_loopback(address: str) -> bool:
    """Whether an address never leaves this machine."""
    if address.startswith("unix:"):
        return True
    host = address.rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
