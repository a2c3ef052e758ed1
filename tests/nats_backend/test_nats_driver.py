"""What is taken from nats-py's inside: each part against the fault that it is there for."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import nats
from nats.aio.transport import TcpTransport

from resumable_stream_nats import _driver
from servers import eventually

if TYPE_CHECKING:
    from nats.aio.msg import Msg

    from nats_servers import NatsServer


async def ignore(error: Exception) -> None:
    pass


async def receive(msg: Msg) -> None:
    pass


async def test_ping_does_not_overtake_what_is_queued(nats_server: NatsServer) -> None:
    client = await nats.connect(nats_server.address)
    pong: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
    await client._send_command(b"SUB queued 99\r\n")
    pinging = asyncio.create_task(_driver.ping(client, pong))
    done, _ = await asyncio.wait({pong}, timeout=0.3)
    assert not done
    await client._flush_pending()
    await pinging
    await pong
    assert nats_server.subjects() == ["queued"]
    await client.close()


async def test_discarded_client_leaves_no_task(nats_server: NatsServer) -> None:
    client = await nats.connect(nats_server.address, allow_reconnect=False, error_cb=ignore)
    subscription = await client.subscribe("x", cb=receive)
    await eventually(lambda: nats_server.subjects() == ["x"], "nothing to be queued")
    transport = client._transport
    assert isinstance(transport, TcpTransport)
    assert transport._io_writer is not None
    # With something still to be sent, nats-py's own closing stops half-way.
    await client._send_command(b"PUB y 1\r\nx\r\n")
    transport._io_writer.transport.abort()
    await eventually(lambda: client.is_closed, "the client to notice")
    await asyncio.sleep(0.05)
    assert len(asyncio.all_tasks()) > 1
    await _driver.discard(client)
    assert len(asyncio.all_tasks()) == 1
    assert not subscription.pending_msgs
