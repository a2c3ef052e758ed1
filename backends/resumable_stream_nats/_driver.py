"""What nats-py does not offer, taken from its inside: kept here, and nowhere else.

Its ``flush`` overtakes queued commands, and once timed out kills the client when the answer comes;
its ``close`` waits for a dead server, and stops half-way where it fails; it tells nobody that a
connection is over; it overlooks an account's limit on payloads; and ``tls://`` does not make it
insist on TLS.
"""
# ruff: noqa: SLF001 - the reason for this module

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from nats.aio.client import Client
from nats.errors import SecureConnWantedError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    ErrorCallback = Callable[[Exception], Awaitable[None]]

_PAUSE = 0.001
_EAGER_TURNS = 4
_CLOSE_TIMEOUT = 1.0


class OwnClient(Client):
    """Insists on TLS where it is wanted, and heeds the account's own limit on payloads."""

    def __init__(self, *, needs_tls: bool) -> None:
        super().__init__()
        self._needs_tls = needs_tls

    def _connect_command(self) -> bytes:
        # Before credentials are sent, to the server or to somebody in its place.
        if self._needs_tls and not self._server_info.get("tls_required"):
            raise SecureConnWantedError
        return super()._connect_command()

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:  # noqa: FBT001, FBT002 - nats-py's signature
        # The server tells the account's limits once it knows who has connected.
        self._max_payload = info.get("max_payload", self._max_payload)
        await super()._process_info(info, initial_connection)


def reader_of(client: Client) -> asyncio.Task[None]:
    """Return the task that reads the present connection: its end is the connection's."""
    task: asyncio.Task[None] | None = client._reading_task
    if task is None:
        raise ConnectionResetError("the client is not connected")
    return task


async def ping(client: Client, pong: asyncio.Future[bool]) -> None:
    """Send a ping after all that was handed to the client; ``pong`` must not be cancelled."""
    turns = 0
    while client.pending_data_size:
        turns += 1
        await asyncio.sleep(0 if turns < _EAGER_TURNS else _PAUSE)
    await client._send_ping(pong)


def abort(client: Client) -> None:
    """Cut the connection, without waiting for what is still to be sent."""
    client._pending.clear()
    client._pending_data_size = 0
    for name in ("_io_writer", "_bare_io_writer"):
        writer: asyncio.StreamWriter | None = getattr(client._transport, name, None)
        if writer is not None:
            writer.transport.abort()


async def discard(client: Client) -> None:
    """Close a client whose connection was cut; leave no task of its behind."""
    abort(client)
    closing = asyncio.create_task(client.close(), name="resumable-stream nats close")
    await asyncio.wait({closing}, timeout=_CLOSE_TIMEOUT)
    closing.cancel()
    tasks = [closing, client._reading_task, client._ping_interval_task, client._flusher_task]
    tasks += [subscription._wait_for_msgs_task for subscription in client._subs.values()]
    client._subs.clear()
    left = {task for task in tasks if task is not None}
    left.discard(asyncio.current_task())
    for task in left:
        task.cancel()
    if left:
        await asyncio.wait(left, timeout=_CLOSE_TIMEOUT)
    for task in left:
        if task.done() and not task.cancelled():
            task.exception()  # retrieved, lest asyncio report it as forgotten


def error_callback(client: Client) -> ErrorCallback:
    return client._error_cb


def set_error_callback(client: Client, callback: ErrorCallback) -> None:
    client._error_cb = callback
