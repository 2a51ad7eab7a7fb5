"""Channels to the servers, opened when first needed, one for each, in one process only.

A gRPC channel does not survive fork: the child hangs, sometimes. So a client that has opened one refuses to be used
under another process id. A client that has opened none may be made before the fork and used after it.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Sequence
from typing import Any, Generic, TypeVar

import grpc
from google.protobuf.message import Message

from nser_client.errors import Misuse
from nser_client.options import CHANNEL_OPTIONS, Options
from nser_client.retry import Ask
from nser_client.rpcs import STREAM_CHECK, Rpc
from nser_client.statuses import of_rpc_error

C = TypeVar("C")
Metadata = tuple[tuple[str, str], ...]


class _Channels(Generic[C]):
    """One channel for each server, and the callables on it."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self._channels: dict[int, C] = {}
        self._callables: dict[tuple[int, str], Any] = {}
        self._opened_by: int | None = None
        self._closed = False

    def check_process(self) -> None:
        """Raise Misuse where the channels are another process's, or closed."""
        if self._opened_by is not None and self._opened_by != os.getpid():
            raise Misuse(
                "This client opened its channels before the process forked; gRPC does not survive that. "
                "Make the client in the child, for example in gunicorn's post_fork or Celery's worker_process_init."
            )
        if self._closed:
            raise Misuse("This client is closed. Make a new one.")

    def callable(self, server: int, rpc: Rpc[Any, Any]) -> Any:
        """Return what makes the call on the channel to `server`."""
        self.check_process()
        found = self._callables.get((server, rpc.path))
        if found is None:
            found = self._callables[server, rpc.path] = self._bound(self._channel(server), rpc)
        return found

    def _channel(self, server: int) -> C:
        channel = self._channels.get(server)
        if channel is None:
            address, credentials = self.options.address(server), self.options.credentials(server)
            self._opened_by = os.getpid()
            channel = self._channels[server] = self._open(address, credentials)
        return channel

    def _open(self, address: str, credentials: grpc.ChannelCredentials | None) -> C:
        raise NotImplementedError

    def _bound(self, channel: Any, rpc: Rpc[Any, Any]) -> Any:
        kind = channel.stream_stream if rpc is STREAM_CHECK else channel.unary_unary
        return kind(
            rpc.path,
            request_serializer=rpc.request.SerializeToString,
            response_deserializer=rpc.response.FromString,
        )

    def _taken(self) -> Sequence[C]:
        """Give up every channel, to be closed by the caller; those of another process are only forgotten."""
        ours = self._opened_by in (None, os.getpid())
        channels = tuple(self._channels.values()) if ours else ()
        self._closed = True
        self._channels.clear()
        self._callables.clear()
        return channels


class BlockingChannels(_Channels[grpc.Channel]):
    """For the blocking client; usable from many threads."""

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self._lock = threading.Lock()

    def callable(self, server: int, rpc: Rpc[Any, Any]) -> Any:
        """Return what makes the call on the channel to `server`."""
        with self._lock:
            return super().callable(server, rpc)

    def _open(self, address: str, credentials: grpc.ChannelCredentials | None) -> grpc.Channel:
        if credentials is None:
            return grpc.insecure_channel(address, options=CHANNEL_OPTIONS)
        return grpc.secure_channel(address, credentials, options=CHANNEL_OPTIONS)

    def ask(self, ask: Ask, metadata: Metadata) -> Message:
        """Make the call. Raises NserError."""
        call = self.callable(ask.server, ask.rpc)
        try:
            response: Message = call(ask.request, timeout=ask.timeout_s, metadata=metadata)
        except grpc.RpcError as error:
            raise of_rpc_error(error) from None
        return response

    def close(self) -> None:
        """Close the channels."""
        with self._lock:
            for channel in self._taken():
                channel.close()


class AsyncChannels(_Channels[grpc.aio.Channel]):
    """For the asyncio client; belongs to the event loop in which it was first used."""

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self._loop: asyncio.AbstractEventLoop | None = None

    def check_process(self) -> None:
        """Raise Misuse where the channels are another process's or another event loop's, or closed."""
        if self._loop is asyncio.get_running_loop() and not self._closed:
            return  # in this process, then: asyncio has no running loop in a forked child
        super().check_process()
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        elif self._loop is not asyncio.get_running_loop():
            raise Misuse(
                "This client belongs to another event loop. Make one client for each loop, or use Client."
            )

    def _open(self, address: str, credentials: grpc.ChannelCredentials | None) -> grpc.aio.Channel:
        if credentials is None:
            return grpc.aio.insecure_channel(address, options=CHANNEL_OPTIONS)
        return grpc.aio.secure_channel(address, credentials, options=CHANNEL_OPTIONS)

    async def ask(self, ask: Ask, metadata: Metadata) -> Message:
        """Make the call. Raises NserError."""
        call = self.callable(ask.server, ask.rpc)
        try:
            response: Message = await call(ask.request, timeout=ask.timeout_s, metadata=metadata)
        except grpc.RpcError as error:
            raise of_rpc_error(error) from None
        return response

    async def is_serving(self, server: int, path: str, serving: bytes, timeout_s: float) -> bool:
        """Whether the server's health service says SERVING."""
        self.check_process()
        check: Any = self._channel(server).unary_unary(path)
        try:
            return bytes(await check(b"", timeout=timeout_s)) == serving
        except grpc.RpcError:
            return False

    async def close(self) -> None:
        """Close the channels."""
        for channel in self._taken():
            await channel.close()
