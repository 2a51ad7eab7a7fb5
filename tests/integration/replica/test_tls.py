"""The data plane's own TLS: 1.3 and nothing older, a caller's certificate where one is asked for, and their renewal."""

from __future__ import annotations

import asyncio
import ssl
import urllib.request
from pathlib import Path

import grpc
import pytest

from nser.lookup.v1 import lookup_pb2, lookup_pb2_grpc
from tests.integration.replica.conftest import StartReplica
from tests.support.authority import HOUR, NOW, Authority
from tests.support.running_replica import RunningReplica
from tests.support.waiting import until

# Each channel with a connection of its own.
OWN = (("grpc.use_local_subchannel_pool", 1),)
ASKED = lookup_pb2.CheckRequest(subject=lookup_pb2.Subject(phone="0712345678"))


async def check(replica: RunningReplica, credentials: grpc.ChannelCredentials) -> lookup_pb2.Answer:
    async with grpc.aio.secure_channel(replica.replica.address, credentials, options=OWN) as channel:
        return await check_by(channel, replica)


async def check_by(channel: grpc.aio.Channel, replica: RunningReplica) -> lookup_pb2.Answer:
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


@pytest.fixture
def looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lookup_core.replica.tls.LOOK_S", 0.05)


def metric(replica: RunningReplica, name: str) -> float:
    with urllib.request.urlopen(f"http://{replica.replica.metrics_address}/metrics", timeout=5) as page:
        lines = page.read().decode().splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith(f"nser_replica_tls_{name} ")))


async def shows(replica: RunningReplica, name: str, value: float) -> None:
    async def does() -> bool:
        return await asyncio.to_thread(metric, replica, name) == value

    await until(does, f"{name} is {value:g}")


@pytest.mark.usefixtures("looks_often")
async def test_a_renewed_certificate_is_for_new_connections_without_a_restart(
    start_replica: StartReplica, tmp_path: Path
) -> None:
    before, after = Authority(), Authority()
    replica = await start_replica(**files(tmp_path, before))
    old, new = grpc.ssl_channel_credentials(before.pem), grpc.ssl_channel_credentials(after.pem)
    async with grpc.aio.secure_channel(replica.replica.address, old, options=OWN) as open_before:
        await check_by(open_before, replica)
        (tmp_path / "key.pem").write_bytes(b"half of a k")
        await shows(replica, "renewal_failures_total", 1)
        assert (await check(replica, old)).outcome == lookup_pb2.OUTCOME_NOT_EXCLUDED  # it stayed in force

        chain, key = after.issue(NOW + HOUR / 2)
        (tmp_path / "chain.pem").write_bytes(chain)
        (tmp_path / "key.pem").write_bytes(key)
        await shows(replica, "renewals_total", 1)
        ends = await asyncio.to_thread(metric, replica, "certificate_not_after_seconds")
        assert ends == pytest.approx((NOW + HOUR / 2).timestamp(), abs=1)
        assert (await check(replica, new)).outcome == lookup_pb2.OUTCOME_NOT_EXCLUDED
        with pytest.raises(grpc.aio.AioRpcError):
            await check(replica, old)
        assert (await check_by(open_before, replica)).outcome == lookup_pb2.OUTCOME_NOT_EXCLUDED


@pytest.mark.usefixtures("looks_often")
async def test_a_renewed_authority_of_callers_lets_its_own_in_and_no_others(
    start_replica: StartReplica, tmp_path: Path
) -> None:
    authority, before, after = Authority(), Authority(), Authority()
    callers = tmp_path / "callers.pem"
    callers.write_bytes(before.pem)
    replica = await start_replica(**files(tmp_path, authority), tls_callers_file=callers)

    def shown(issuer: Authority) -> grpc.ChannelCredentials:
        chain, key = issuer.issue()
        return grpc.ssl_channel_credentials(authority.pem, key, chain)

    known = shown(before)
    await check(replica, known)
    callers.write_bytes(after.pem)
    await shows(replica, "renewals_total", 1)
    assert (await check(replica, shown(after))).outcome == lookup_pb2.OUTCOME_NOT_EXCLUDED
    for refused in (known, shown(before)):
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await check(replica, refused)
        assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
