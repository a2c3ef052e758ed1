"""What nats-py does not document: used here, and nowhere else.

What it does document is not enough:

- ``flush`` overtakes queued commands; when one times out, its late answer kills the client.
- ``publish`` and ``request`` take tasks and several turns of the event loop for each message.
- ``subscribe`` takes a queue and a task for each subject, and drops messages that fill the queue.
- ``close`` waits for a dead server, and stops half-way where it fails.
- Nobody is told that a connection is over.
- An account's own limit on payloads is overlooked.
- ``tls://`` does not insist on TLS.
"""
# ruff: noqa: SLF001 - the reason for this module

from __future__ import annotations

import asyncio
from functools import cache
from typing import TYPE_CHECKING, Any

from nats.aio.client import Client
from nats.aio.subscription import Subscription
from nats.aio.transport import TcpTransport
from nats.errors import ConnectionClosedError, ConnectionDrainingError, SecureConnWantedError

from resumable_stream.adapter_kit import (
    check_inside,
    check_versions,
    heed_cancellation,
    is_ending,
    lacking,
)
from resumable_stream_nats._versions import TESTED

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from nats.aio.msg import Msg

    ErrorCallback = Callable[[Exception], Awaitable[None]]

CLIENT_NAMES = (
    "_connect_command",
    "_error_cb",
    "_flush_queue",
    "_flusher_task",
    "_max_payload",
    "_pending",
    "_pending_data_size",
    "_ping_interval_task",
    "_pongs",
    "_process_connect_init",
    "_process_info",
    "_reading_task",
    "_server_info",
    "_sid",
    "_subs",
    "_transport",
)

SUBSCRIPTION_NAMES = (
    "_conn",
    "_future",
    "_id",
    "_jsi",
    "_max_msgs",
    "_message_iterator",
    "_pending_bytes_limit",
    "_pending_next_msgs_calls",
    "_pending_queue",
    "_pending_size",
    "_queue",
    "_received",
    "_subject",
    "_wait_for_msgs_task",
)
WRITERS = ("_io_writer", "_bare_io_writer")

_PING = b"PING\r\n"
_CLOSE_TIMEOUT = 1.0


@cache
def check() -> None:
    """Check, once, that the installed nats-py is as this module expects.

    Raises:
        UnsupportedDriverError: it is not, or too old.
    """
    check_versions(TESTED)
    check_inside(TESTED, _missing)


def _missing() -> list[str]:
    client = Client()
    transport: Any = TcpTransport
    return [
        *lacking("nats.aio.client.Client", client, CLIENT_NAMES),
        *lacking("nats.aio.subscription.Subscription", Subscription(client), SUBSCRIPTION_NAMES),
        *lacking("nats.aio.transport.TcpTransport", transport(), WRITERS),
    ]


class OwnClient(Client):
    """Insists on TLS where ``needs_tls`` says so, and heeds the account's limit on payloads."""

    def __init__(self, *, needs_tls: bool) -> None:
        super().__init__()
        self._needs_tls = needs_tls

    def _connect_command(self) -> bytes:
        heed_cancellation()
        # Before credentials are sent: there may be somebody in the server's place.
        if self._needs_tls and not self._server_info.get("tls_required"):
            raise SecureConnWantedError
        return super()._connect_command()

    async def _process_connect_init(self) -> None:
        heed_cancellation()
        await super()._process_connect_init()
        try:
            heed_cancellation()
        except asyncio.CancelledError:
            # At once: after another turn they would look like tasks of a loop that goes on.
            for task in _own_tasks(self):
                task.cancel()
            raise

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:  # noqa: FBT001, FBT002 - nats-py's signature
        if initial_connection:
            heed_cancellation()
        # The account's limits come in a second INFO, once the server knows who has connected.
        self._max_payload = info.get("max_payload", self._max_payload)
        await super()._process_info(info, initial_connection)


def reader_of(client: Client) -> asyncio.Task[None]:
    """Return the task that reads the present connection, and ends with it."""
    task: asyncio.Task[None] | None = client._reading_task
    if task is None:
        raise ConnectionResetError("the client is not connected")
    return task


class Pong:
    """What the server's answer to a ping goes to: it calls ``tell``, once, where it is read.

    Attributes:
        over: it has come, or nobody waits for it.
    """

    __slots__ = ("_tell", "over")

    def __init__(self, tell: Callable[[Pong, Exception | None], None]) -> None:
        self.over = False
        self._tell = tell

    def set_result(self, _: bool) -> None:  # noqa: FBT001 - nats-py calls this as that of a future
        self.settle(None)

    def settle(self, error: Exception | None) -> None:
        """Tell that it has come, or why it will not."""
        if not self.over:
            self.over = True
            self._tell(self, error)


def send(client: Client, commands: Sequence[bytes], pong: Pong | None = None) -> None:
    """Send commands at once, behind all that the client still holds.

    ``pong`` comes once the server has processed them.

    Raises:
        ConnectionClosedError: there is no connection.
        ConnectionDrainingError: the client is being closed.
    """
    transport, flushes = client._transport, client._flush_queue
    if not client.is_connected or transport is None or flushes is None:
        raise ConnectionClosedError
    if client.is_draining_pubs:
        raise ConnectionDrainingError
    if pong is not None:
        commands = [*commands, _PING]
        pongs: list[Any] = client._pongs
        pongs.append(pong)
    transport.writelines([*client._pending, *commands])
    client._pending.clear()
    client._pending_data_size = 0
    if not isinstance(transport, TcpTransport):
        # The transport of a WebSocket sends only when it is flushed, and with something to flush.
        client._pending_data_size = 1
        if flushes.empty():
            flushes.put_nowait(asyncio.get_running_loop().create_future())


def publication(subject: str, payload: bytes) -> bytes:
    """Return the command that publishes a message."""
    return b"PUB %b %d\r\n%b\r\n" % (subject.encode(), len(payload), payload)


def request(subject: str, reply: str, headers: bytes, payload: bytes) -> bytes:
    """Return the command that asks a question."""
    size = len(headers)
    start = f"HPUB {subject} {reply} {size} {size + len(payload)}\r\n"
    return b"%b%b%b\r\n" % (start.encode(), headers, payload)


class Receiver(Subscription):
    """A subscription that hands each message to ``handle`` as soon as nats-py has read it.

    It holds no message, so it drops none. A process that reads too slowly is cut off by the server.
    """

    # What every subscription has here, as class attributes: there may be very many subscriptions.
    _queue = ""
    _max_msgs = 0
    _future = None
    _jsi = None
    _pending_bytes_limit = 0
    _pending_next_msgs_calls: Any = None
    _wait_for_msgs_task = None
    _message_iterator = None
    _closed = False

    def __init__(self, client: Client, subject: str, handle: Callable[[Msg], object]) -> None:
        client._sid += 1
        self._conn = client
        self._id = client._sid
        self._subject = subject
        self._received = 0
        self._pending_size = 0
        self.put_nowait = handle
        client._subs[self._id] = self

    @property  # an attribute would be a reference to itself, which takes a garbage collection
    def _pending_queue(self) -> Any:  # type: ignore[override]
        """Where nats-py puts a message: this calls the handler."""
        return self

    async def join(self) -> None:
        """Wait for what is held: nothing."""

    @property
    def beginning(self) -> bytes:
        """The command that subscribes; the caller sends it."""
        return f"SUB {self._subject}  {self._id}\r\n".encode()

    def end(self) -> bytes:
        """Receive no more; return the command that unsubscribes, for the caller to send."""
        self._conn._subs.pop(self._id, None)
        return b"UNSUB %d\r\n" % self._id


def abort(client: Client) -> None:
    """Cut the connection, and drop what is still to be sent."""
    client._pending.clear()
    client._pending_data_size = 0
    for name in WRITERS:
        writer: asyncio.StreamWriter | None = getattr(client._transport, name, None)
        if writer is not None:
            writer.transport.abort()


async def discard(client: Client) -> None:
    """Cut the connection and close the client; none of its tasks is left."""
    abort(client)
    left = _own_tasks(client)
    if not is_ending(asyncio.get_running_loop()):
        closing = asyncio.create_task(client.close(), name="resumable-stream nats close")
        await asyncio.wait({closing}, timeout=_CLOSE_TIMEOUT)
        closing.cancel()
        left = {closing, *_own_tasks(client)}
        if client._transport is not None:
            # This retrieves why the connection was lost; a close that fails half-way does not.
            lost = asyncio.create_task(client._transport.wait_closed())  # type: ignore[no-untyped-call]
            await asyncio.wait({lost}, timeout=_CLOSE_TIMEOUT)
            left.add(lost)
    client._subs.clear()
    left.discard(asyncio.current_task())
    for task in left:
        task.cancel()
    if left:
        await asyncio.wait(left, timeout=_CLOSE_TIMEOUT)
    for task in left:
        if task.done() and not task.cancelled():
            task.exception()  # retrieved, so that asyncio does not report it


def _own_tasks(client: Client) -> set[asyncio.Task[None]]:
    tasks: list[asyncio.Task[None] | None] = [
        client._reading_task,
        client._ping_interval_task,
        client._flusher_task,
        *(subscription._wait_for_msgs_task for subscription in client._subs.values()),
    ]
    return {task for task in tasks if task is not None}


def error_callback(client: Client) -> ErrorCallback:
    return client._error_cb


def set_error_callback(client: Client, callback: ErrorCallback) -> None:
    client._error_cb = callback
