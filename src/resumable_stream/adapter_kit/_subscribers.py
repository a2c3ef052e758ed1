"""The subscribers of a backend, which subscribes each channel once for all of them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from resumable_stream.adapter_kit._errors import again
from resumable_stream.ports import Loss

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from resumable_stream.errors import BackendError

N = TypeVar("N")
T = TypeVar("T")


class Channel(Generic[N]):
    """A channel with at least one subscriber, until it is left.

    A channel that is left and joined again is another object, so that a late answer about the
    first is not taken for one about the second.

    Attributes:
        name: what the broker calls it.
        live: the broker has confirmed it, and the connection has not been lost since.
        subscribers: who gets its messages; empty once it was left.
    """

    __slots__ = ("live", "name", "subscribers")

    def __init__(self, name: N) -> None:
        self.name = name
        self.live = False
        self.subscribers: tuple[Subscriber, ...] = ()


class Subscriber:
    """One subscription to a channel: what ``PubSub.subscribe`` returns.

    Attributes:
        ended: its handlers are never called again.
    """

    __slots__ = ("channel", "ended", "on_loss", "on_message", "ready", "registry")

    def __init__(
        self,
        registry: Subscribers[Any],
        channel: Channel[Any],
        on_message: Callable[[bytes], None],
        on_loss: Callable[[Loss], None],
    ) -> None:
        self.registry = registry
        self.channel = channel
        self.on_message = on_message
        self.on_loss = on_loss
        self.ended = False
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def aclose(self) -> None:
        self.registry.end(self)


class Subscribers(Generic[N]):
    """The subscribers of a backend, by channel.

    They decide which channels the backend subscribes at its broker (``join``, ``leave``). The
    backend says what became of that (``confirm``, ``refuse``, ``interrupt``, ``close``), and hands
    messages to ``deliver``. Every handler is called safely.

    Args:
        join: called with a channel when it gets its first subscriber; it is to be subscribed.
        leave: called with a channel when it loses its last subscriber; it is to be unsubscribed.
        timeout: for how many seconds a new subscriber waits for its channel to be confirmed.
        unconfirmed: makes the error for a subscriber that has waited that long.

    Attributes:
        channels: those with a subscriber, by name. Only for looking up.
    """

    def __init__(
        self,
        join: Callable[[Channel[N]], None],
        leave: Callable[[Channel[N]], None],
        *,
        timeout: float,
        unconfirmed: Callable[[], BackendError],
    ) -> None:
        self._channels: dict[N, Channel[N]] = {}
        self.channels: Mapping[N, Channel[N]] = self._channels
        self._join = join
        self._leave = leave
        self._timeout = timeout
        self._unconfirmed = unconfirmed

    async def subscribe(
        self, name: N, on_message: Callable[[bytes], None], on_loss: Callable[[Loss], None]
    ) -> Subscriber:
        """Return a subscriber once its channel is live; leave none behind if that does not happen.

        Raises:
            BackendError: the channel was refused, the subscribers were closed, or nothing happened
                within ``timeout``.
        """
        channel = self._channels.get(name)
        first = channel is None
        if channel is None:
            channel = self._channels[name] = Channel(name)
        subscriber = Subscriber(self, channel, on_message, on_loss)
        channel.subscribers += (subscriber,)
        try:
            if first:
                self._join(channel)
            if channel.live:
                subscriber.ready.set_result(None)
                return subscriber
            loop = asyncio.get_running_loop()
            timer = loop.call_later(self._timeout, self._expire, subscriber)
            try:
                await subscriber.ready
            finally:
                timer.cancel()
        except BaseException:
            self.end(subscriber)
            raise
        return subscriber

    def _expire(self, subscriber: Subscriber) -> None:
        if not subscriber.ready.done():
            subscriber.ready.set_exception(self._unconfirmed())

    def confirm(self, channel: Channel[N]) -> None:
        """Note that the broker delivers the channel's messages from here on.

        Subscribers that wait for it are ready; those that were ready before are told
        ``Loss.RECONNECTED``. A channel that was left meanwhile stays left.
        """
        channel.live = bool(channel.subscribers)
        for subscriber in channel.subscribers:
            if subscriber.ended or subscriber.ready.cancelled():
                continue
            if subscriber.ready.done():
                call_safely(subscriber.on_loss, Loss.RECONNECTED)
            else:
                subscriber.ready.set_result(None)

    def refuse(self, error: BackendError, channel: Channel[N] | None = None) -> None:
        """Fail those that wait for the channel, or for any; each gets a copy of the error.

        Those that were ready before stay subscribed: the backend is to try again.
        """
        for refused in [channel] if channel is not None else list(self._channels.values()):
            for subscriber in refused.subscribers:
                if not subscriber.ready.done():
                    subscriber.ready.set_exception(again(error))
                    self.end(subscriber)

    def interrupt(self) -> None:
        """Note that the connection was lost: no channel is live until it is confirmed again."""
        for channel in self._channels.values():
            channel.live = False

    def close(self, error: BackendError) -> None:
        """End all: those that wait get a copy of the error, the others are told ``Loss.CLOSED``."""
        self.refuse(error)
        for channel in list(self._channels.values()):
            for subscriber in channel.subscribers:
                if not subscriber.ended:
                    self.end(subscriber)
                    call_safely(subscriber.on_loss, Loss.CLOSED)

    def end(self, subscriber: Subscriber) -> None:
        """End one subscription, as its ``aclose`` does."""
        if subscriber.ended:
            return
        subscriber.ended = True
        settle(subscriber.ready)
        channel = subscriber.channel
        channel.subscribers = tuple(s for s in channel.subscribers if s is not subscriber)
        if not channel.subscribers:
            del self._channels[channel.name]
            self._leave(channel)


def deliver(message: bytes, subscribers: Iterable[Subscriber]) -> None:
    """Hand a message to each subscriber that has not ended, whatever the others raise."""
    for subscriber in subscribers:
        if not subscriber.ended:
            try:
                subscriber.on_message(message)
            except Exception as error:  # noqa: BLE001 - one owner's bug must not deafen the others
                _report(error)


def report_loss(loss: Loss, subscribers: Iterable[Subscriber]) -> None:
    """Tell each subscriber that has not ended of a loss, whatever the others raise."""
    for subscriber in subscribers:
        if not subscriber.ended:
            call_safely(subscriber.on_loss, loss)


def call_safely(handler: Callable[[T], None], argument: T) -> None:
    """Call a handler; what it raises goes to the event loop's exception handler."""
    try:
        handler(argument)
    except Exception as error:  # noqa: BLE001 - one owner's bug must not deafen the others
        _report(error)


def settle(future: asyncio.Future[Any]) -> None:
    """Let go of a future that nobody waits for."""
    if not future.done():
        future.cancel()
    elif not future.cancelled():
        future.exception()  # retrieved: asyncio reports an error that nobody has


def _report(error: Exception) -> None:
    asyncio.get_running_loop().call_exception_handler(
        {"message": "a subscription's handler raised", "exception": error}
    )
