"""The SDK's stream when things go wrong: breaks, silence, late answers; and TLS against a real server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from time import monotonic

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from nser.lookup.v1 import lookup_pb2, lookup_pb2_grpc
from nser_client import AsyncClient, Client, Tls
from nser_client.stream import CheckStream
from tests.support.register_double import GOOD_KEY, RegisterDouble, _Lookup

OTIENO = "0722000111"


@pytest.fixture
async def pair() -> AsyncIterator[tuple[RegisterDouble, RegisterDouble]]:
    doubles = await RegisterDouble().start(), await RegisterDouble().start()
    yield doubles
    for double in doubles:
        await double.stop()


def a_client(*doubles: RegisterDouble, timeout_ms: int = 20_000) -> AsyncClient:
    client = AsyncClient(
        replicas=[double.address for double in doubles], api_key=GOOD_KEY, check_timeout_ms=timeout_ms
    )
    client._replicas._preferred = 0
    return client


async def eventually(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = monotonic() + seconds
    while not condition():
        assert monotonic() < deadline
        await asyncio.sleep(0.002)


async def test_what_was_in_flight_when_a_replica_dies_is_asked_elsewhere(
    pair: tuple[RegisterDouble, RegisterDouble],
) -> None:
    dying, other = pair
    dying.held = asyncio.Event()
    async with a_client(dying, other) as client:
        checks = [asyncio.create_task(client.check(phone=OTIENO)) for _ in range(200)]
        await eventually(lambda: len(dying.called("StreamCheck")) == 200)
        await dying.stop()
        decisions = await asyncio.gather(*checks)
    assert all(decision.may_play for decision in decisions)
    assert (len(other.called("StreamCheck")), other.streams) == (200, 1)


async def test_a_stream_is_opened_again_after_its_break(pair: tuple[RegisterDouble, RegisterDouble]) -> None:
    double, _ = pair
    async with a_client(double) as client:
        assert (await client.check(phone=OTIENO)).may_play
        address = double.address
        await double.stop()
        assert not (await client.check(phone=OTIENO)).may_play
        await double.start(address)
        for _ in range(100):
            if (await client.check(phone=OTIENO)).may_play:
                break
            await asyncio.sleep(0.05)
        assert (await client.check(phone=OTIENO)).may_play
    assert double.streams == 2


async def test_a_stream_that_fell_silent_is_given_up(pair: tuple[RegisterDouble, RegisterDouble]) -> None:
    silent, other = pair
    silent.held = asyncio.Event()
    async with a_client(silent, other, timeout_ms=150) as client:
        assert (await client.check(phone=OTIENO)).reason in {"DEADLINE_EXCEEDED", "UNREACHABLE"}
        assert client._streams[0].is_broken
        assert (await client.check(phone=OTIENO)).may_play
        silent.held.set()


async def test_a_late_answer_meets_no_other_question(pair: tuple[RegisterDouble, RegisterDouble]) -> None:
    double, _ = pair
    gate = double.held = asyncio.Event()
    async with a_client(double) as client:
        stream = client._stream(0)
        subject = lookup_pb2.Subject(phone=OTIENO)
        patient = stream.ask(subject, 0, 20)
        hasty = stream.ask(subject, 0, 20)
        await eventually(lambda: len(double.called("StreamCheck")) == 2)
        hasty.cancel()
        await asyncio.wait([hasty])
        assert stream.in_flight == 1
        gate.set()
        assert (await patient).answer.outcome == lookup_pb2.OUTCOME_NOT_EXCLUDED


async def test_an_answer_with_another_sequence_is_nobodys() -> None:
    stream = CheckStream(lambda: None)
    stream._settle(lookup_pb2.StreamCheckResponse(sequence=2**63))
    assert stream.in_flight == 0


async def test_clients_of_other_keys_share_channels_and_no_stream(
    pair: tuple[RegisterDouble, RegisterDouble],
) -> None:
    double, _ = pair
    async with a_client(double) as client:
        other = client.on_behalf_of("nser_test_wrong")
        assert (await client.check(phone=OTIENO)).may_play
        with pytest.raises(Exception, match="key"):
            await other.check(phone=OTIENO)
        await other.close()
        assert (await client.check(phone=OTIENO)).may_play
    assert {call.metadata["authorization"] for call in double.calls} == {
        f"Bearer {GOOD_KEY}",
        "Bearer nser_test_wrong",
    }


def _certificate() -> tuple[bytes, bytes]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "nser test")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private, made.public_bytes(serialization.Encoding.PEM)


async def test_tls_is_spoken_with_the_given_roots_and_refused_with_others() -> None:
    private, certificate = _certificate()
    _, foreign = _certificate()
    server = grpc.aio.server()
    lookup_pb2_grpc.add_LookupServiceServicer_to_server(_Lookup(RegisterDouble()), server)
    port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([(private, certificate)]))
    await server.start()
    address = f"127.0.0.1:{port}"
    for roots, may_play in ((certificate, True), (foreign, False)):
        options = {"tls": Tls(root_certificates=roots), "api_key": GOOD_KEY, "check_timeout_ms": 3_000}
        async with AsyncClient(replicas=[address], **options) as client:
            assert (await client.check(phone=OTIENO)).may_play is may_play
        with Client(replicas=[address], **options) as blocking:
            assert (await asyncio.to_thread(blocking.check, phone=OTIENO)).may_play is may_play
    with Client(replicas=[address], api_key=GOOD_KEY) as plain:
        assert not (await asyncio.to_thread(plain.check, phone=OTIENO)).may_play
    await server.stop(None)
