"""A server that resets the connection while the client is still connecting."""

from __future__ import annotations

import asyncio
import gc
import json
import socket
import struct
from typing import Any
from urllib.parse import urlparse

import pytest
from nats.aio.client import Client
from nats.aio.transport import TcpTransport

from resumable_stream import BackendUnavailableError
from resumable_stream_nats import open_backend
from resumable_stream_nats._driver import discard

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


async def fails() -> None:
    raise ConnectionResetError


@pytest.mark.rule("BE-2", "P10")
async def test_reset_is_retrieved_where_closing_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    async with await asyncio.start_server(reset_after_pong, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()[:2]
        client = Client()
        client._transport = TcpTransport()  # type: ignore[no-untyped-call]
        await client._transport.connect(urlparse(f"nats://{host}:{port}"), 65536, 10)
        client._transport.write(b"PING\r\n")  # type: ignore[no-untyped-call]
        writer = client._transport._io_writer
        assert writer is not None
        closed = writer.transport.get_protocol()._get_close_waiter(writer)  # type: ignore[attr-defined]
        await asyncio.wait({closed})
        with monkeypatch.context() as broken:
            broken.setattr(client, "close", fails)
            await discard(client)
    assert not closed._log_traceback  # else the loop's exception handler may be told of it
    assert isinstance(closed.exception(), ConnectionResetError)
