"""A TCP proxy on loopback that delays, splits, swallows and cuts what passes through it."""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    import ssl


@dataclass
class Faults:
    """The faults of one direction; they may be changed at any time."""

    delay: float = 0.0
    """Seconds that each piece waits."""
    split: int | None = None
    """The most bytes written at once."""
    black_hole: bool = False
    """Swallow everything, and keep the connection open."""
    cut_after: int | None = None
    """Reset the connection once this many more bytes have passed."""


class FaultProxy:
    """Passes loopback connections on to ``host:port``, with faults for each direction."""

    def __init__(
        self, port: int, host: str = "127.0.0.1", *, tls: ssl.SSLContext | None = None
    ) -> None:
        self.to_server = Faults()
        self.to_client = Faults()
        self.port = 0
        self.accepted = 0
        self._tls = tls  # on the client's side only
        self._target = (host, port)
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(
            self._serve, "127.0.0.1", self.port, ssl=self._tls
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
        self.cut()

    def aim_at(self, port: int) -> None:
        """Pass later connections on to another port."""
        self._target = (self._target[0], port)

    def cut(self) -> None:
        """Reset every connection, at both ends."""
        for writer in list(self._writers):
            _reset(writer)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        self._writers.add(writer)
        try:
            server_reader, server_writer = await asyncio.open_connection(*self._target)
        except OSError:
            _reset(writer)
            self._writers.discard(writer)
            return
        self._writers.add(server_writer)
        pumps = [
            asyncio.create_task(_pump(reader, server_writer, self.to_server)),
            asyncio.create_task(_pump(server_reader, writer, self.to_client)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            for end in (writer, server_writer):
                self._writers.discard(end)
                _reset(end)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, faults: Faults) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(64 * 1024):
            if faults.delay:
                await asyncio.sleep(faults.delay)
            if faults.black_hole:
                continue
            cut = faults.cut_after is not None and faults.cut_after <= len(data)
            if faults.cut_after is not None:
                data = data[: faults.cut_after]
                faults.cut_after -= len(data)
            step = faults.split or len(data) or 1
            for start in range(0, len(data), step):
                writer.write(data[start : start + step])
                await writer.drain()
                if faults.split:
                    await asyncio.sleep(0)
            if cut:
                return


def _reset(writer: asyncio.StreamWriter) -> None:
    if not writer.transport.is_closing():
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
