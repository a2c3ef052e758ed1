"""The parts that use nats-py's internals, each tested with the fault that it is there for."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import nats
import pytest
from nats.aio.client import Client
from nats.aio.transport import TcpTransport
from nats.errors import ConnectionClosedError, ConnectionDrainingError

from resumable_stream_nats import _driver
from support.servers import eventually

if TYPE_CHECKING:
    from nats.aio.msg import Msg

    from support.nats_servers import NatsServer


async def ignore(error: Exception) -> None:
    pass


async def receive(msg: Msg) -> None:
    pass


async def test_commands_overtake_nothing_and_are_confirmed(nats_server: NatsServer) -> None:
    client = await nats.connect(nats_server.address)
    pong: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
    await client._send_command(b"SUB first 99\r\n")
    _driver.send(client, [b"SUB second 98\r\n", b"UNSUB 99\r\n"], pong)
    await pong
    assert nats_server.subjects() == ["second"]
    assert not client.pending_data_size
    await client.close()


async def test_ping_is_sent_last(nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    client = await nats.connect(nats_server.address)
    written: list[bytes] = []
    monkeypatch.setattr(client._transport, "writelines", written.extend)
    await client._send_command(b"PUB before 0\r\n\r\n")
    pong: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
    _driver.send(client, _driver.publication("grüße", b"\r\n"), pong)
    monkeypatch.undo()
    assert b"".join(written) == "PUB before 0\r\n\r\nPUB grüße 2\r\n\r\n\r\nPING\r\n".encode()
    await client.close()


async def test_client_that_goes_sends_and_keeps_nothing(nats_server: NatsServer) -> None:
    client = await nats.connect(nats_server.address)
    answer: asyncio.Future[Msg] = asyncio.get_running_loop().create_future()
    await _driver.hear_answers(client)
    client._status = Client.DRAINING_PUBS
    with pytest.raises(ConnectionDrainingError):
        _driver.ask(client, "x", b"NATS/1.0\r\n\r\n", b"", answer)
    client._status = Client.CONNECTED
    await client.close()
    with pytest.raises(ConnectionClosedError):
        _driver.send(client, [b"PING\r\n"])
    with pytest.raises(ConnectionClosedError):
        _driver.ask(client, "x", b"NATS/1.0\r\n\r\n", b"", answer)
    assert not client._resp_map


async def test_discarded_client_leaves_no_task(nats_server: NatsServer) -> None:
    client = await nats.connect(nats_server.address, allow_reconnect=False, error_cb=ignore)
    subscription = await client.subscribe("x", cb=receive)
    await eventually(lambda: nats_server.subjects() == ["x"], "nothing to be queued")
    transport = client._transport
    assert isinstance(transport, TcpTransport)
    assert transport._io_writer is not None
    # While data is unsent, nats-py's own close stops half-way.
    await client._send_command(b"PUB y 1\r\nx\r\n")
    transport._io_writer.transport.abort()
    await eventually(lambda: client.is_closed, "the client to notice")
    await asyncio.sleep(0.05)
    assert len(asyncio.all_tasks()) > 1
    await _driver.discard(client)
    assert len(asyncio.all_tasks()) == 1
    assert not subscription.pending_msgs
