"""Every subscription of a backend over one connection, which is watched and restored."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from typing import TYPE_CHECKING, Any

from redis.exceptions import InvalidResponse

from resumable_stream.adapter_kit import Worker, stop
from resumable_stream.ports import Loss
from resumable_stream_redis import _wire
from resumable_stream_redis._errors import again, bug_in, closed, ending, failed, refused
from resumable_stream_redis._line import Line

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from resumable_stream.errors import BackendError, BackendUnavailableError
    from resumable_stream_redis._driver import Connection

# A frozen server is given up after this many intervals in which nothing arrived, not even a pong.
# Counted, not timed: a process that was itself stopped must first read what has come meanwhile.
PING_INTERVAL = 2.0
_SILENT_INTERVALS = 3

# Commands written at once when very many channels are subscribed anew.
_BATCH_COMMANDS = 256

# So many subscribers of a channel get a message one after the other; then these may read it.
_TURN_SUBSCRIBERS = 16

_FIRST_DELAY = 0.02
_LONGEST_DELAY = 2.0


class _Channel:
    def __init__(self, name: bytes) -> None:
        self.name = name
        self.subscribers: tuple[HubSubscription, ...] = ()
        self.live = False  # confirmed on the present connection


class HubSubscription:
    """One subscriber of a channel."""

    def __init__(
        self,
        hub: Hub,
        channel: _Channel,
        on_message: Callable[[bytes], None],
        on_loss: Callable[[Loss], None],
    ) -> None:
        self.channel = channel
        self.on_message = on_message
        self.on_loss = on_loss
        self.ended = False
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._hub = hub

    async def aclose(self) -> None:
        self._hub.end(self)


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
        self._channels: dict[bytes, _Channel] = {}
        self._outbox: deque[tuple[bytes, _Channel | None]] = deque()
        # One entry for each command that is not answered yet; replies come in order.
        self._expected: deque[_Channel | None] = deque()
        self._wake = asyncio.Event()
        self._worker = Worker(
            self._run,
            "resumable-stream redis messages",
            lambda: bool(self._channels),
            self._ended,
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
    ) -> HubSubscription:
        if self._worker.over:
            raise self._over()
        channel = self._channels.get(name)
        if channel is None:
            channel = self._channels[name] = _Channel(name)
            if self._connected:
                self._send_subscribe(channel)
        subscription = HubSubscription(self, channel, on_message, on_loss)
        channel.subscribers += (subscription,)
        if channel.live:
            subscription.ready.set_result(None)
            return subscription
        self._worker.begin()
        try:
            await asyncio.wait([subscription.ready], timeout=self._timeout)
            if not subscription.ready.done():
                subscription.ready.set_exception(refused(self._trouble))
            subscription.ready.result()
        except BaseException:
            self.end(subscription)
            raise
        return subscription

    def end(self, subscription: HubSubscription) -> None:
        if subscription.ended:
            return
        subscription.ended = True
        _settle(subscription.ready)
        channel = subscription.channel
        channel.subscribers = tuple(s for s in channel.subscribers if s is not subscription)
        if not channel.subscribers and self._channels.get(channel.name) is channel:
            del self._channels[channel.name]
            if self._connected:
                self._outbox.append((_wire.pack(b"UNSUBSCRIBE", channel.name), None))
                self._wake.set()

    async def aclose(self) -> None:
        await self._worker.stop()
        self._close_all()

    async def _run(self) -> None:
        delay = _FIRST_DELAY
        while self._channels:
            self._confirmed = False
            try:
                connection = await _wire.connect(self._open, self._timeout)
                await self._serve(connection)
            except Exception as error:  # noqa: BLE001 - whatever broke it, nobody may stay deaf
                self._trouble = error.__cause__ or error
                if bug_in(error) is not None:
                    self._fail_new(failed(error))
            if self._confirmed:
                delay = _FIRST_DELAY
            if self._channels:
                await asyncio.sleep(delay * random.uniform(0.5, 1.5))
                delay = min(delay * 2, _LONGEST_DELAY)

    def _ended(self, _error: BaseException | None) -> None:
        if self._worker.over:
            self._close_all()

    async def _serve(self, connection: Connection) -> None:
        """Subscribe to everything, then deliver until the connection is lost or idle."""
        self._expected.clear()
        self._outbox.clear()
        self._connected = True
        for channel in self._channels.values():
            self._send_subscribe(channel)
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
            for channel in self._channels.values():
                channel.live = False
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
            try:
                async with asyncio.timeout_at(next_tick):
                    await self._wake.wait()
                continue
            except TimeoutError:
                next_tick = loop.time() + PING_INTERVAL
            silent = 0 if self._heard else silent + 1
            if silent >= _SILENT_INTERVALS:
                raise ConnectionResetError("the server has stopped answering")
            self._heard = False
            idle = 0 if self._channels else idle + 1
            if idle > 1:
                return
            self._outbox.append((_wire.pack(b"PING"), None))

    def _on_reply(self, line: Line, reply: object) -> None:
        self._heard = True
        if isinstance(reply, list) and len(reply) == 3 and reply[0] == b"message":  # noqa: PLR2004 - the kind, the channel, the message
            channel = self._channels.get(reply[1])
            if channel is not None:
                self._deliver(line, channel.subscribers, reply[2])
        elif self._expected:
            self._answered(self._expected.popleft(), reply)
        else:
            raise InvalidResponse(f"the server sent {reply!r} unasked")

    def _next_batch(self) -> bytes:
        batch = [self._outbox.popleft() for _ in range(min(len(self._outbox), _BATCH_COMMANDS))]
        self._expected.extend(channel for _, channel in batch)
        return b"".join(command for command, _ in batch)

    def _send_subscribe(self, channel: _Channel) -> None:
        self._outbox.append((_wire.pack(b"SUBSCRIBE", channel.name), channel))
        self._wake.set()

    def _deliver(
        self, line: Line, subscribers: tuple[HubSubscription, ...], message: bytes
    ) -> None:
        for subscription in subscribers[:_TURN_SUBSCRIBERS]:
            if not subscription.ended:
                try:
                    subscription.on_message(message)
                except Exception as error:  # noqa: BLE001 - one owner's bug must not deafen the others
                    _report(error)
        rest = subscribers[_TURN_SUBSCRIBERS:]
        if rest:
            line.hold()
            asyncio.get_running_loop().call_soon(self._deliver_on, line, rest, message)

    def _deliver_on(
        self, line: Line, subscribers: tuple[HubSubscription, ...], message: bytes
    ) -> None:
        self._deliver(line, subscribers, message)
        if len(subscribers) <= _TURN_SUBSCRIBERS:
            line.go_on()

    def _answered(self, channel: _Channel | None, reply: object) -> None:
        # A channel that was left and joined again meanwhile is another object, with its own reply.
        if channel is None or self._channels.get(channel.name) is not channel:
            return
        if isinstance(reply, Exception):
            self._refuse(channel, reply)
            return
        channel.live = self._confirmed = True
        for subscription in channel.subscribers:
            if subscription.ended:
                continue
            if subscription.ready.done():
                _call(subscription.on_loss, Loss.RECONNECTED)
            else:
                subscription.ready.set_result(None)

    def _refuse(self, channel: _Channel, error: Exception) -> None:
        for subscription in channel.subscribers:
            if not subscription.ready.done():
                subscription.ready.set_exception(refused(error))
                self.end(subscription)
        if channel.subscribers:
            # It was allowed once and must not stay deaf: try again until it is allowed or ended.
            raise error

    def _fail_new(self, error: BackendError) -> None:
        """Whoever asks for the first time need not wait for what will not change by itself."""
        for channel in list(self._channels.values()):
            for subscription in channel.subscribers:
                if not subscription.ready.done():
                    subscription.ready.set_exception(again(error))
                    self.end(subscription)

    def _close_all(self) -> None:
        for channel in list(self._channels.values()):
            for subscription in channel.subscribers:
                established = _established(subscription)
                if not subscription.ready.done():
                    subscription.ready.set_exception(self._over())
                self.end(subscription)
                if established:
                    _call(subscription.on_loss, Loss.CLOSED)

    def _over(self) -> BackendUnavailableError:
        return ending() if self.cut_off else closed()


def _established(subscription: HubSubscription) -> bool:
    ready = subscription.ready
    return ready.done() and not ready.cancelled() and ready.exception() is None


def _settle(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.cancel()
    elif not ready.cancelled():
        ready.exception()  # retrieved, lest asyncio report it as forgotten


def _call(handler: Callable[[Loss], None], loss: Loss) -> None:
    try:
        handler(loss)
    except Exception as error:  # noqa: BLE001 - one owner's bug must not deafen the others
        _report(error)


def _report(error: Exception) -> None:
    asyncio.get_running_loop().call_exception_handler(
        {"message": "a subscription's handler raised", "exception": error}
    )
