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


async def taken_in(client: Client, *commands: bytes) -> None:
    """Send commands, and return once the server has processed them."""
    came: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
    _driver.send(client, commands, _driver.Pong(lambda _, error: came.set_result(error)))
    assert await came is None


async def receive(msg: Msg) -> None:
    pass


async def test_commands_overtake_nothing_and_are_confirmed(nats_server: NatsServer) -> None:
    client = await nats.connect(nats_server.address)
    await client._send_command(b"SUB first 99\r\n")
    await taken_in(client, b"SUB second 98\r\n", b"UNSUB 99\r\n")
    assert nats_server.subjects() == ["second"]
    assert not client.pending_data_size
    await client.close()


async def test_ping_is_sent_last(nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    client = await nats.connect(nats_server.address)
    written: list[bytes] = []
    monkeypatch.setattr(client._transport, "writelines", written.extend)
    await client._send_command(b"PUB before 0\r\n\r\n")
    _driver.send(client, [_driver.publication("grüße", b"\r\n")], _driver.Pong(print))
    monkeypatch.undo()
    assert b"".join(written) == "PUB before 0\r\n\r\nPUB grüße 2\r\n\r\n\r\nPING\r\n".encode()
    await client.close()


async def test_client_that_goes_sends_and_keeps_nothing(nats_server: NatsServer) -> None:
    client = await nats.connect(nats_server.address)
    client._status = Client.DRAINING_PUBS
    with pytest.raises(ConnectionDrainingError):
        _driver.send(client, [b"PUB x 0\r\n\r\n"], _driver.Pong(print))
    client._status = Client.CONNECTED
    assert not client._pongs
    await client.close()
    with pytest.raises(ConnectionClosedError):
        _driver.send(client, [b"PING\r\n"], _driver.Pong(print))
    assert not client._pongs


async def test_receiver_gets_every_message_as_it_is_read(nats_server: NatsServer) -> None:
    client = await nats.connect(nats_server.address)
    got: list[Msg] = []
    receiver = _driver.Receiver(client, "x", got.append)
    commands = [receiver.beginning, _driver.publication("x", b"1"), _driver.publication("y", b"")]
    await taken_in(client, *commands)
    # There is no task that would have to come next: with the pong, the message has been handled.
    assert [(message.subject, message.data) for message in got] == [("x", b"1")]
    await taken_in(client, _driver.publication("x", b"2"), receiver.end())
    assert len(got) == 1
    assert nats_server.subjects() == []
    await client.close()


async def test_receiver_neither_holds_up_a_drain_nor_a_close(nats_server: NatsServer) -> None:
    for leave in (Client.drain, Client.close):
        client = await nats.connect(nats_server.address)
        _driver.send(client, [_driver.Receiver(client, "x", print).beginning])
        async with asyncio.timeout(10):
            await leave(client)
        assert client.is_closed
        assert not client._subs


async def test_receiver_is_subscribed_again_after_a_reconnect(nats_server: NatsServer) -> None:
    client = await nats.connect(nats_server.address, error_cb=ignore, max_reconnect_attempts=-1)
    _driver.send(client, [_driver.Receiver(client, "x", print).beginning])
    nats_server.restart()
    await eventually(lambda: nats_server.subjects() == ["x"], "the subject again")
    await client.close()


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
