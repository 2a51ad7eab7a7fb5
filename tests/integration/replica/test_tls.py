"""The data plane's own TLS: 1.3 and nothing older, and a caller's certificate where one is asked for."""

from __future__ import annotations

import asyncio
import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from nser.lookup.v1 import lookup_pb2, lookup_pb2_grpc
from tests.integration.replica.conftest import StartReplica
from tests.support.running_replica import RunningReplica

ASKED = lookup_pb2.CheckRequest(subject=lookup_pb2.Subject(phone="0712345678"))
NOW = datetime.now(UTC)


class Authority:
    """Signs certificates for 127.0.0.1, as PEM."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "an authority of the tests")])
        constraints = x509.BasicConstraints(ca=True, path_length=0)
        built = self._for(self._name, self._key).add_extension(constraints, critical=True)
        self.pem = built.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def issue(self) -> tuple[bytes, bytes]:
        """A certificate and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "somebody")])
        address = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
        built = self._for(name, key).add_extension(address, critical=False).sign(self._key, hashes.SHA256())
        plain = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        return (
            built.public_bytes(serialization.Encoding.PEM),
            key.private_bytes(serialization.Encoding.PEM, *plain),
        )

    def _for(self, name: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW - timedelta(hours=1))
            .not_valid_after(NOW + timedelta(hours=1))
        )


async def check(replica: RunningReplica, credentials: grpc.ChannelCredentials) -> lookup_pb2.Answer:
    async with grpc.aio.secure_channel(replica.replica.address, credentials) as channel:
        stub: lookup_pb2_grpc.LookupServiceAsyncStub = lookup_pb2_grpc.LookupServiceStub(channel)
        return (await stub.Check(ASKED, metadata=replica.key.metadata, timeout=5)).answer


def files(folder: Path, authority: Authority) -> dict[str, Path]:
    chain, key = authority.issue()
    (folder / "chain.pem").write_bytes(chain)
    (folder / "key.pem").write_bytes(key)
    return {"tls_chain_file": folder / "chain.pem", "tls_key_file": folder / "key.pem"}


async def test_a_replica_with_a_certificate_speaks_tls_1_3_alone(
    start_replica: StartReplica, tmp_path: Path
) -> None:
    authority = Authority()
    replica = await start_replica(**files(tmp_path, authority))
    answer = await check(replica, grpc.ssl_channel_credentials(authority.pem))
    assert answer.outcome == lookup_pb2.OUTCOME_NOT_EXCLUDED
    with pytest.raises(grpc.aio.AioRpcError):
        await check(replica, grpc.ssl_channel_credentials(Authority().pem))  # signed by another
    older = ssl.create_default_context(cadata=authority.pem.decode())
    older.maximum_version = ssl.TLSVersion.TLSv1_2
    host, _, port = replica.replica.address.rpartition(":")
    with pytest.raises(ssl.SSLError):
        await asyncio.open_connection(host, int(port), ssl=older)


async def test_callers_show_a_certificate_where_one_is_asked_for(
    start_replica: StartReplica, tmp_path: Path
) -> None:
    authority, callers = Authority(), Authority()
    (tmp_path / "callers.pem").write_bytes(callers.pem)
    replica = await start_replica(**files(tmp_path, authority), tls_callers_file=tmp_path / "callers.pem")
    chain, key = callers.issue()
    answer = await check(replica, grpc.ssl_channel_credentials(authority.pem, key, chain))
    assert answer.outcome == lookup_pb2.OUTCOME_NOT_EXCLUDED
    for shown in ((), authority.issue()[::-1]):
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await check(replica, grpc.ssl_channel_credentials(authority.pem, *shown))
        assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
