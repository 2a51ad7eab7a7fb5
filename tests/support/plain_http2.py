"""HTTP/2 as a client sends it that knows nothing of gRPC: whatever content type, whatever body.

Just enough of RFC 9113 and RFC 7541: one request on one connection, header fields that are written out in full. gRPC
writes the fields of its own answers out in full too, so that they can be searched for as they are.
"""

from __future__ import annotations

import asyncio
import re
import struct
from collections.abc import Mapping

import grpc

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RESET, SETTINGS, PING, GO_AWAY = 0, 1, 3, 4, 6, 7
END_STREAM, ACK, END_HEADERS = 1, 1, 4
ANSWER_S = 10.0
CODES = {code.value[0]: code for code in grpc.StatusCode}


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return struct.pack("!I", len(payload))[1:] + bytes((kind, flags)) + struct.pack("!I", stream) + payload


def written_out(name: str, value: str) -> bytes:
    """A header field without an index and without Huffman code; each part is shorter than 127 bytes."""
    return b"\0" + b"".join(bytes((len(part),)) + part.encode() for part in (name, value))


async def post(address: str, path: str, headers: Mapping[str, str], body: bytes) -> grpc.StatusCode:
    """Send one POST, and give the gRPC status that answers it. Fails on a reset, a closed connection and silence."""
    return _status(await answered(address, path, headers, body))


async def answered(address: str, path: str, headers: Mapping[str, str], body: bytes) -> bytes:
    """Send one POST, and give the last header block of its answer, as it came. Fails as `post` does."""
    fields = {":method": "POST", ":scheme": "http", ":path": path, ":authority": "x", **headers}
    block = b"".join(written_out(name, value) for name, value in fields.items())
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(PREFACE + frame(SETTINGS, 0, 0) + frame(HEADERS, END_HEADERS, 1, block))
        writer.write(frame(DATA, END_STREAM, 1, body))
        async with asyncio.timeout(ANSWER_S):
            return await _last_block(reader, writer)
    finally:
        writer.close()


async def _last_block(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    while True:
        head = await reader.readexactly(9)
        kind, flags = head[3], head[4]
        payload = await reader.readexactly(int.from_bytes(head[:3], "big"))
        assert kind not in (RESET, GO_AWAY), f"the call was reset: {payload!r}"
        if kind in (SETTINGS, PING) and not flags & ACK:
            writer.write(frame(kind, ACK, 0, payload if kind == PING else b""))
        if kind == HEADERS and flags & END_STREAM:
            return payload


def _status(block: bytes) -> grpc.StatusCode:
    told = re.search(rb"grpc-status.(\d+)", block)
    assert told is not None, block
    return CODES[int(told[1])]
