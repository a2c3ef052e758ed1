"""One connection, from when it stands until it is lost."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from resumable_stream_redis import _driver
from resumable_stream_redis._errors import REPLY_ERRORS

if TYPE_CHECKING:
    from collections.abc import Callable

    from resumable_stream_redis._driver import Connection

_SEND_TIMEOUT = 5.0
# So many replies are handed on one after the other; then others get their turn.
_TURN_REPLIES = 64
_NOTHING = object()


class Line(asyncio.Protocol):
    """A connection that redis-py brought up, read without a task.

    Each reply is handed on where the event loop receives it. The way through redis-py's stream and
    its reading task takes some 0.1 ms when the process was idle, which is the live reader's delay.

    Args:
        on_reply: called with each reply in order, an error reply being an exception. What it raises
            ends the line.
        on_lost: called once nothing will come any more.

    Attributes:
        lost: no reply will come any more.
        cause: why, unless ``close`` was called first.
    """

    def __init__(
        self,
        connection: Connection,
        on_reply: Callable[[Line, object], None],
        on_lost: Callable[[], None],
    ) -> None:
        self.lost = False
        self.cause: Exception | None = None
        self._connection = connection
        self._on_reply = on_reply
        self._on_lost = on_lost
        self._parser = _driver.reply_parser(incomplete=_NOTHING)
        self._writable = asyncio.Event()
        self._writable.set()
        self._held = False
        self._transport = self._take_over()

    @property
    def has_room(self) -> bool:
        """The server has taken all that was sent: ``write`` holds nothing up."""
        return not self._transport.is_closing() and not self._transport.get_write_buffer_size()

    def write(self, data: bytes) -> None:
        """Send, without waiting for the server to take it."""
        self._transport.write(data)

    async def send(self, data: bytes) -> None:
        """Send, and wait until the server has taken most of it.

        Raises:
            TimeoutError: it does not.
        """
        self._transport.write(data)
        async with asyncio.timeout(_SEND_TIMEOUT):
            await self._writable.wait()

    def fail(self, cause: Exception) -> None:
        """Give the connection up, without waiting for what is still to be sent."""
        if not self.lost:
            self.lost, self.cause = True, cause
            self._transport.abort()
            self._writable.set()
            self._on_lost()

    async def close(self) -> None:
        """Cut the connection; does not wait, so it is safe while being cancelled."""
        self.lost = True
        await _driver.drop(self._connection)

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def hold(self) -> None:
        """Hand no more on, until ``go_on``."""
        self._held = True
        self._transport.pause_reading()

    def go_on(self) -> None:
        """Hand on what has come meanwhile."""
        self._held = False
        self._hand_on()
        if not self._held and not self.lost:
            self._transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        self._parser.feed(data)
        self._hand_on()

    def connection_lost(self, exc: Exception | None) -> None:
        self.fail(exc or ConnectionResetError("the server closed the connection"))

    def _take_over(self) -> asyncio.Transport:
        """Take redis-py's place at the transport, and what has come there already."""
        taken, loop = _driver.take_over(self._connection, self), asyncio.get_running_loop()
        if taken.early:
            loop.call_soon(self.data_received, taken.early)
        if taken.ended:
            loop.call_soon(self.connection_lost, None)
        return taken.transport

    def _hand_on(self) -> None:
        try:
            for _ in range(_TURN_REPLIES):
                if self._held or self.lost:
                    return
                reply = self._parser.gets()
                if reply is _NOTHING:
                    return
                self._on_reply(self, _sound(reply))
        except Exception as error:  # noqa: BLE001 - whatever it is, the conversation has broken off
            self.fail(error)
        else:
            if not self._held:
                self.hold()
                asyncio.get_running_loop().call_soon(self.go_on)


def _sound(reply: object) -> object:
    """Tell a command's error from one that ends the connection."""
    if isinstance(reply, Exception) and not isinstance(reply, REPLY_ERRORS):
        raise reply
    return reply
