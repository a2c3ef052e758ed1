"""Every subscription of a backend over one connection, which is watched and restored."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from typing import TYPE_CHECKING, Any

from redis.exceptions import InvalidResponse

from resumable_stream.adapter_kit import Backoff, Subscribers, Worker, deliver, stop
from resumable_stream_redis import _wire
from resumable_stream_redis._crowds import FEW, Crowds
from resumable_stream_redis._errors import BACKEND, bug_in, failed, refused
from resumable_stream_redis._line import Line

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from resumable_stream.adapter_kit import Channel, Subscriber
    from resumable_stream.ports import Loss
    from resumable_stream_redis._driver import Connection

# A frozen server is given up after this many intervals in which nothing arrived, not even a pong.
# Intervals are counted, because a process that was itself stopped must first read what has come.
PING_INTERVAL = 2.0
_SILENT_INTERVALS = 3

# Commands written at once when very many channels are subscribed again.
_BATCH_COMMANDS = 256

_FIRST_DELAY = 0.02
_LONGEST_DELAY = 2.0


class Hub:
    """One connection for all subscriptions: open while there are any, and a little longer."""

    def __init__(
        self,
        open_connection: Callable[[], Awaitable[Connection]],
        timeout: float,
        watch: Callable[[Connection], Coroutine[Any, Any, None]] | None = None,
    ) -> None:
        self._open = open_connection
        self._timeout = timeout
        self._watch = watch
        self._subscribers: Subscribers[bytes] = Subscribers(
            self._join, self._leave, timeout=timeout, unconfirmed=lambda: refused(self._trouble)
        )
        self._outbox: deque[tuple[list[bytes], Channel[bytes] | None]] = deque()
        # One entry for each command that is not answered yet; replies come in order.
        self._expected: deque[Channel[bytes] | None] = deque()
        self._crowds = Crowds()
        self._wake = asyncio.Event()
        self._worker = Worker(
            self._run,
            "resumable-stream redis messages",
            lambda: bool(self._subscribers.channels),
            self._ended,
            backend=BACKEND,
        )
        self._connected = False
        self._heard = False
        self._confirmed = False
        self._trouble: BaseException = TimeoutError("the server did not confirm in time")

    @property
    def cut_off(self) -> bool:
        """The event loop is being shut down."""
        return self._worker.cut_off

    async def subscribe(
        self, name: bytes, on_message: Callable[[bytes], None], on_loss: Callable[[Loss], None]
    ) -> Subscriber:
        self._worker.check()
        return await self._subscribers.subscribe(name, on_message, on_loss)

    async def aclose(self) -> None:
        await self._worker.stop()
        self._subscribers.close(self._worker.refusal())

    def _join(self, channel: Channel[bytes]) -> None:
        if self._connected:
            self._send(b"SUBSCRIBE", channel, channel)
        self._worker.begin()

    def _leave(self, channel: Channel[bytes]) -> None:
        if self._connected:
            self._send(b"UNSUBSCRIBE", channel, None)

    def _send(
        self, command: bytes, channel: Channel[bytes], expected: Channel[bytes] | None
    ) -> None:
        self._outbox.append((_wire.pack(command, channel.name), expected))
        self._wake.set()

    async def _run(self) -> None:
        backoff = Backoff(_FIRST_DELAY, _LONGEST_DELAY)
        while self._subscribers.channels:
            self._confirmed = False
            try:
                connection = await _wire.connect(self._open, self._timeout)
                await self._serve(connection)
            except Exception as error:  # noqa: BLE001 - whatever it was, subscribers must not stay deaf
                self._trouble = error.__cause__ or error
                if bug_in(error) is not None:
                    # Time alone does not heal this: fail new subscribers at once.
                    self._subscribers.refuse(failed(error))
            if self._confirmed:
                backoff.reset()
            if self._subscribers.channels:
                await asyncio.sleep(backoff.next() * random.uniform(0.5, 1.5))

    def _ended(self, _error: BaseException | None) -> None:
        if self._worker.over:
            self._subscribers.close(self._worker.refusal())

    async def _serve(self, connection: Connection) -> None:
        """Subscribe to everything, then deliver until the connection is lost or idle."""
        self._expected.clear()
        self._outbox.clear()
        self._connected = True
        for channel in self._subscribers.channels.values():
            self._send(b"SUBSCRIBE", channel, channel)
        line = Line(connection, self._on_reply, self._wake.set)
        watch = None
        if self._watch is not None:
            watch = asyncio.create_task(
                self._watch(connection), name="resumable-stream redis watch"
            )
            watch.add_done_callback(lambda _: self._wake.set())
        try:
            await self._write(line, watch)
        finally:
            self._connected = False
            self._subscribers.interrupt()
            await line.close()
            if watch is not None:
                await stop(watch)
        wrong = None if watch is None or watch.cancelled() else watch.exception()
        if cause := line.cause or wrong:
            raise cause

    async def _write(self, line: Line, watch: asyncio.Task[None] | None) -> None:
        loop = asyncio.get_running_loop()
        next_tick = loop.time() + PING_INTERVAL
        silent = idle = 0
        while not line.lost and not (watch and watch.done()):
            if self._outbox:
                await line.send(self._next_batch())
                continue
            self._wake.clear()
            # No time-out: it would cancel this task for a moment, and every call meanwhile would
            # look at all tasks to learn whether the loop is being shut down.
            tick = loop.call_at(next_tick, self._wake.set)
            try:
                await self._wake.wait()
            finally:
                tick.cancel()
            if loop.time() < next_tick:
                continue
            next_tick = loop.time() + PING_INTERVAL
            silent = 0 if self._heard else silent + 1
            if silent >= _SILENT_INTERVALS:
                raise ConnectionResetError("the server has stopped answering")
            self._heard = False
            idle = 0 if self._subscribers.channels else idle + 1
            if idle > 1:
                return
            self._outbox.append((_wire.pack(b"PING"), None))

    def _on_reply(self, line: Line, reply: object) -> None:
        self._heard = True
        if isinstance(reply, list) and len(reply) == 3 and reply[0] == b"message":  # noqa: PLR2004 - the kind, the channel, the message
            channel = self._subscribers.channels.get(reply[1])
            if channel is None:
                return
            if len(channel.subscribers) > FEW:
                self._crowds.add(line, channel, reply[2])
            else:
                deliver(reply[2], channel.subscribers)
        elif self._expected:
            self._answered(self._expected.popleft(), reply)
        else:
            raise InvalidResponse(f"the server sent {reply!r} unasked")

    def _next_batch(self) -> list[bytes]:
        batch = [self._outbox.popleft() for _ in range(min(len(self._outbox), _BATCH_COMMANDS))]
        self._expected.extend(channel for _, channel in batch)
        return _wire.gather(part for command, _ in batch for part in command)

    def _answered(self, channel: Channel[bytes] | None, reply: object) -> None:
        if channel is None or not channel.subscribers:
            return
        if not isinstance(reply, Exception):
            self._confirmed = True
            self._subscribers.confirm(channel)
            return
        self._subscribers.refuse(refused(reply), channel)
        if channel.subscribers:
            # Older subscribers must not stay deaf: reconnect until it is allowed again or left.
            raise reply
