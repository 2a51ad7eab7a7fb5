"""Redis as a URL names it: over TLS with an authority of one's own, and a database by its number."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import redis.asyncio

from lookup_core.embedded.redis import EmbeddedRedis
from lookup_core.kernel.errors import SettingsRefused
from nser.lookup.v1 import lookup_pb2
from tests.integration.replica.conftest import StartReplica
from tests.support.authority import Authority
from tests.support.waiting import until

GOOD = lookup_pb2.Subject(phone="0712345678")


@asynccontextmanager
async def tls_before(port: int, authority: Authority, folder: Path) -> AsyncIterator[int]:
    """A port that speaks TLS and hands on to `port`: not every Redis is built with TLS of its own."""
    chain, key = authority.issue()
    (folder / "redis.pem").write_bytes(chain + key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "redis.pem")

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while some := await reader.read(65_536):
                writer.write(some)
                await writer.drain()
        writer.close()

    async def hand_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        to_reader, to_writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(copy(reader, to_writer), copy(to_reader, writer))

    server = await asyncio.start_server(hand_on, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def buckets(server: EmbeddedRedis, database: int) -> int:
    """How many keys of budgets one of its databases has."""
    async with redis.asyncio.Redis.from_url(server.url(database)) as client:
        return len(await client.keys("nser:budget:*"))


async def test_budgets_are_shared_over_tls_in_the_database_that_is_named(
    start_replica: StartReplica, tmp_path: Path
) -> None:
    authority = Authority()
    (tmp_path / "authority.pem").write_bytes(authority.pem)
    with EmbeddedRedis(tmp_path / "redis") as server:
        async with tls_before(server.port, authority, tmp_path) as port:
            over_tls = server.url().replace(f":{server.port}/0", f":{port}").replace("redis:", "rediss:")
            url = f"{over_tls}?db=7&ssl_ca_certs={tmp_path / 'authority.pem'}"
            replica = await start_replica(redis_url=url)

            async def are_counted() -> bool:
                assert await replica.outcome(GOOD) == "NOT_EXCLUDED"
                return await buckets(server, 7) > 0

            await until(are_counted, "budgets are counted in database 7")
            assert await buckets(server, 0) == 0


async def test_a_redis_of_another_authority_is_not_trusted(
    start_replica: StartReplica, tmp_path: Path
) -> None:
    with EmbeddedRedis(tmp_path / "redis") as server:
        async with tls_before(server.port, Authority(), tmp_path) as port:
            (tmp_path / "authority.pem").write_bytes(Authority().pem)
            over_tls = server.url().replace(f":{server.port}/0", f":{port}").replace("redis:", "rediss:")
            replica = await start_replica(redis_url=f"{over_tls}?ssl_ca_certs={tmp_path / 'authority.pem'}")
            assert await replica.outcome(GOOD) == "NOT_EXCLUDED"  # by the local share
            await until(lambda: replica.replica.plane.quota_is_local, "the local share decides")
            assert await buckets(server, 0) == 0


async def test_a_url_that_the_data_plane_cannot_use_is_refused_by_the_setting(
    start_replica: StartReplica,
) -> None:
    with pytest.raises(SettingsRefused, match=r"^NSER_REDIS_URL: .*rediss://") as refused:
        await start_replica(redis_url="redis://:secret@host:port/0")
    assert "secret" not in str(refused.value)
