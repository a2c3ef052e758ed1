"""A server that resets the connection while the client is still connecting."""

from __future__ import annotations

import asyncio
import gc
import json
import socket
import struct
from typing import Any

import pytest

from resumable_stream import BackendUnavailableError
from resumable_stream_nats import open_backend

_INFO = {
    "server_id": "FAKE",
    "version": "2.12.0",
    "max_payload": 1024 * 1024,
    "headers": True,
    "proto": 1,
    "auth_required": False,
}


async def reset_after_pong(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"INFO " + json.dumps(_INFO).encode() + b"\r\n")
    while (await reader.readline()) != b"PING\r\n":
        pass
    writer.write(b"PONG\r\n")
    await writer.drain()
    raw: socket.socket = writer.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@pytest.mark.rule("BE-2", "P10")
async def test_reset_while_connecting_leaves_nothing() -> None:
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, told: complaints.append(told))
    async with await asyncio.start_server(reset_after_pong, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        for _ in range(20):
            backend = open_backend(f"nats://127.0.0.1:{port}")
            with pytest.raises(BackendUnavailableError):
                await backend.get("key")
            await backend.aclose()
    assert asyncio.all_tasks() == {asyncio.current_task()}
    gc.collect()
    await asyncio.sleep(0)
    assert not complaints
