"""One connection, from when it stands until it is lost."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from resumable_stream_redis import _driver
from resumable_stream_redis._errors import REPLY_ERRORS, outside_script

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from resumable_stream_redis._driver import Connection

_SEND_TIMEOUT = 5.0
# Replies handed on in one turn of the event loop.
_TURN_REPLIES = 64
_NOTHING = object()


class Line(asyncio.Protocol):
    """A connection that redis-py brought up, read without a task.

    Each reply is handed on in the turn of the event loop that receives it. A stream and a reading
    task would add some 0.1 ms in an idle process, to what every live reader waits.

    Args:
        on_reply: called with each reply in order; an error reply is an exception. The line ends
            if it raises.
        on_lost: called once, when no further reply will come.

    Attributes:
        lost: no further reply will come.
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
        self._holds = 0
        self._transport = self._take_over()

    @property
    def has_room(self) -> bool:
        """Everything written has left this process: nothing is ahead of the next ``write``."""
        return not self._transport.is_closing() and not self._transport.get_write_buffer_size()

    def write(self, parts: Iterable[bytes]) -> None:
        """Send, without waiting for the server to take it."""
        for part in parts:
            self._transport.write(part)

    async def send(self, parts: Iterable[bytes]) -> None:
        """Send, and wait until the server has taken most of it.

        Raises:
            TimeoutError: it did not, for some seconds.
        """
        self.write(parts)
        async with asyncio.timeout(_SEND_TIMEOUT):
            await self._writable.wait()

    def fail(self, cause: Exception) -> None:
        """Abandon the connection, and whatever is still to be sent."""
        if not self.lost:
            self.lost, self.cause = True, cause
            self._transport.abort()
            self._writable.set()
            self._on_lost()

    async def close(self) -> None:
        """Cut the connection. It does not wait, so a cancelled task may call it."""
        self.lost = True
        await _driver.drop(self._connection)

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def hold(self) -> None:
        """Hand on no replies until as many calls of ``go_on``."""
        self._holds += 1
        self._transport.pause_reading()

    def go_on(self) -> None:
        """Hand on what came during ``hold``, and then what comes."""
        self._holds -= 1
        self._hand_on()
        if not self._holds and not self.lost:
            self._transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        self._parser.feed(data)
        self._hand_on()

    def connection_lost(self, exc: Exception | None) -> None:
        self.fail(exc or ConnectionResetError("the server closed the connection"))

    def _take_over(self) -> asyncio.Transport:
        """Take the transport from redis-py, with what it has received."""
        taken, loop = _driver.take_over(self._connection, self), asyncio.get_running_loop()
        if taken.early:
            loop.call_soon(self.data_received, taken.early)
        if taken.ended:
            loop.call_soon(self.connection_lost, None)
        return taken.transport

    def _hand_on(self) -> None:
        try:
            for _ in range(_TURN_REPLIES):
                if self._holds or self.lost:
                    return
                reply = self._parser.gets()
                if reply is _NOTHING:
                    return
                self._on_reply(self, _sound(reply))
        except Exception as error:  # noqa: BLE001 - any error here leaves the conversation in pieces
            self.fail(error)
        else:
            if not self._holds:
                self.hold()
                asyncio.get_running_loop().call_soon(self.go_on)


def _sound(reply: object) -> object:
    """Return the reply of a command; raise an error that concerns the whole connection."""
    if not isinstance(reply, Exception):
        return reply
    if not isinstance(reply, REPLY_ERRORS):
        raise reply
    return outside_script(reply)
