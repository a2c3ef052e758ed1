"""Commands as bytes, and the little of redis-py's connection that is used here."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Protocol

from resumable_stream_redis._errors import REPLY_ERRORS, refused

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


_SEND_TIMEOUT = 5.0
_STOP_INTERVAL = 0.2


class Connection(Protocol):
    """What is used of ``redis.asyncio.connection.AbstractConnection``.

    redis-py brings the connection up (TLS, credentials, the database) and parses replies. Its
    pools and clients are not used: they repeat commands, reorder publishes and hide reconnections.
    """

    socket_timeout: float | None

    @property
    def is_connected(self) -> bool: ...

    async def connect(self) -> None: ...

    async def send_packed_command(self, command: bytes, check_health: bool = True) -> None: ...  # noqa: FBT001, FBT002 - redis-py's signature

    async def read_response(
        self,
        disable_decoding: bool = False,  # noqa: FBT001, FBT002 - redis-py's signature
        timeout: float | None = None,  # noqa: ASYNC109 - redis-py's signature
        *,
        disconnect_on_error: bool = True,
    ) -> object: ...

    async def disconnect(self, nowait: bool = False) -> None: ...  # noqa: FBT001, FBT002 - redis-py's signature


def pack(*arguments: bytes) -> bytes:
    """Encode one command."""
    parts = [b"*%d\r\n" % len(arguments)]
    for argument in arguments:
        parts += (b"$%d\r\n" % len(argument), argument, b"\r\n")
    return b"".join(parts)


async def connect(open_connection: Callable[[], Awaitable[Connection]], limit: float) -> Connection:
    """Open a connection within ``limit`` seconds.

    Raises:
        BackendUnavailableError: it could not be opened, for whatever reason.
    """
    try:
        async with asyncio.timeout(limit):
            return await open_connection()
    except TimeoutError as error:
        raise refused(TimeoutError(f"no connection within {limit:g} s")) from error
    except Exception as error:
        # Credential providers and resolvers are the user's own code: anything may come out.
        raise refused(error) from error


async def connected(connection: Connection) -> Connection:
    """Bring the connection up; leave nothing open if that fails or is cancelled."""
    try:
        await connection.connect()
    except BaseException:
        await drop(connection)
        raise
    # redis-py applies it with asyncio.wait_for, which on Python 3.11 can swallow a cancellation.
    connection.socket_timeout = None
    return connection


async def send(connection: Connection, data: bytes) -> None:
    if not connection.is_connected:
        # Without this check redis-py would silently reconnect and send to the new connection.
        raise ConnectionResetError("the connection is closed")
    async with asyncio.timeout(_SEND_TIMEOUT):
        await connection.send_packed_command(data, check_health=False)


async def read(connection: Connection) -> object:
    """Return the next reply. An error reply is returned, a broken connection raises."""
    try:
        return await connection.read_response(
            disable_decoding=True, timeout=math.inf, disconnect_on_error=False
        )
    except REPLY_ERRORS as error:
        return error


def is_ready(connection: Connection) -> bool:
    """Tell whether ``send_now`` may be used: the server has taken all that was sent."""
    transport = _transport(connection)
    return (
        transport is not None
        and not transport.is_closing()
        and not transport.get_write_buffer_size()
    )


def send_now(connection: Connection, data: bytes) -> None:
    """As ``send`` does, but without a task to wait in."""
    transport = _transport(connection)
    if transport is not None:
        transport.write(data)


def abort(connection: Connection) -> None:
    """Cut the connection, without waiting for what is still to be sent."""
    # redis-py offers only a close that first flushes, which a frozen server holds up for ever.
    transport = _transport(connection)
    if transport is not None:
        transport.abort()


def _transport(connection: Connection) -> asyncio.WriteTransport | None:
    writer: asyncio.StreamWriter | None = getattr(connection, "_writer", None)
    return writer.transport if writer is not None else None


async def drop(connection: Connection) -> None:
    """Cut the connection and let go of it; does not wait, so it is safe while being cancelled."""
    abort(connection)
    await connection.disconnect(nowait=True)


async def stop(task: asyncio.Task[None]) -> None:
    """Cancel the task until it has ended, even where redis-py swallows a cancellation."""
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=_STOP_INTERVAL)
