"""A floor: hiredis on two sockets, one that publishes and one that subscribes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import hiredis

from benchmarks.agent.adapters.floor import Floor

if TYPE_CHECKING:
    from collections.abc import Callable

# How many publishes may be unanswered: otherwise a bare loop would outrun the server for ever.
_OUTSTANDING = 1024


class Link(asyncio.Protocol):
    """One socket, its parser, and the calls that wait for replies, in order."""

    def __init__(self, on_reply: Callable[[Any], None]) -> None:
        self._on_reply = on_reply
        self._parser = hiredis.Reader()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._parser.feed(data)
        while (reply := self._parser.gets()) is not False:
            self._on_reply(reply)

    def send(self, *command: bytes) -> None:
        assert self._transport is not None  # noqa: S101
        pack: Any = hiredis.pack_command  # its type hints allow only one argument
        self._transport.write(pack(command))

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


class Hiredis:
    def __init__(self) -> None:
        self.publishing = Link(self._on_published)
        self.subscribing = Link(self._on_message)
        self._room = asyncio.Semaphore(_OUTSTANDING)
        self._handlers: dict[bytes, Callable[[bytes], None]] = {}
        self._subscribed: dict[bytes, asyncio.Event] = {}

    async def publish(self, channel: str, message: bytes) -> None:
        await self._room.acquire()
        self.publishing.send(b"PUBLISH", channel.encode(), message)

    async def subscribe(self, channel: str, handler: Callable[[bytes], None]) -> None:
        name = channel.encode()
        self._handlers[name] = handler
        self._subscribed[name] = asyncio.Event()
        self.subscribing.send(b"SUBSCRIBE", name)
        await self._subscribed[name].wait()

    def _on_published(self, reply: object) -> None:
        self._room.release()
        if isinstance(reply, Exception):
            raise reply

    def _on_message(self, reply: Any) -> None:
        kind, channel, data = reply
        if kind == b"message":
            self._handlers[channel](data)
        else:
            self._subscribed[channel].set()

    async def aclose(self) -> None:
        self.publishing.close()
        self.subscribing.close()


async def connect(url: str) -> Hiredis:
    wire, place = Hiredis(), urlsplit(url)
    assert place.hostname and place.port  # noqa: S101, PT018
    loop = asyncio.get_running_loop()
    await loop.create_connection(lambda: wire.publishing, place.hostname, place.port)
    await loop.create_connection(lambda: wire.subscribing, place.hostname, place.port)
    return wire


async def create(url: str) -> Floor:
    return Floor(await connect(url))
