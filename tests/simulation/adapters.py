"""The adapters to the simulated broker, with every fault that the ports allow, and more."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from functools import partial
from operator import eq
from typing import TYPE_CHECKING, TypeVar

from resumable_stream import (
    BackendUnavailableError,
    Loss,
    MessageTooLargeError,
    OutcomeUnknownError,
)
from simulation.journal import SimulatedJournal
from simulation.subscription import Subscription

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from resumable_stream_memory._bus import Inbox
    from simulation.broker import Server
    from simulation.clock import Host

T = TypeVar("T")

# How long an adapter tries to reach a broker that is away, or waits for a reply.
_CONNECT_TIMEOUT = 1.0
_REPLY_TIMEOUT = 3.0
_RECONNECT = (0.01, 0.5)
# The share of the calls cut off by a broken connection that are executed later, and the delay.
_ZOMBIES = 0.3
_LATE = (0.0, 6.0)
# No two messages of one connection arrive at the same time.
_TICK = 1e-9


@dataclass(eq=False)
class Adapter:
    """One host's backend: every call is a message to the server and, later, a message back."""

    server: Server
    host: Host
    latency: float
    max_message_size: int
    max_pending: int
    connected: bool = True
    closed: bool = False
    subscriptions: dict[int, Subscription] = field(default_factory=dict)
    calls: dict[asyncio.Future[None], bool] = field(default_factory=dict)
    unknown_publishes: int = 0
    held_back: bool = False
    """Whether it must not connect."""
    keeps: bool = False
    """Whether it has a journal."""
    journal: SimulatedJournal | None = None
    sheltered: bool = False
    """Whether the weather never breaks its connection."""
    black_hole: bool = False
    """Whether nothing comes through, without any error."""
    _sent_until: float = 0.0
    _received_until: float = 0.0
    _connection: int = 0
    _incoming: deque[Callable[[], None]] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self.server.adapters.append(self)
        self.journal = SimulatedJournal(self) if self.keeps else None
        self.host.on_death.append(self._die)

    async def get(self, key: str) -> str | None:
        return await self.call(lambda: self.server.bus.get(key, self.server.loop.now))

    async def set(self, key: str, value: str, *, ttl: int) -> None:
        await self._write(key, value, ttl, lambda _present: True)

    async def create(self, key: str, value: str, *, ttl: int) -> bool:
        return await self._write(key, value, ttl, lambda present: present is None)

    async def compare_and_set(self, key: str, expected: str, value: str, *, ttl: int) -> bool:
        return await self._write(key, value, ttl, lambda present: present == expected)

    async def renew_many(self, entries: Sequence[tuple[str, str]], *, ttl: int) -> list[bool]:
        write = self.server.write
        return await self.call(
            lambda: [write(self, key, value, ttl, partial(eq, value)) for key, value in entries],
            writes=True,
        )

    async def delete(self, key: str) -> None:
        await self.call(lambda: self.server.bus.delete(key), writes=True)

    async def publish(self, channel: str, message: bytes) -> None:
        await self.publish_many([(channel, message)])

    async def publish_many(self, messages: Sequence[tuple[str, bytes]]) -> None:
        for _channel, message in messages:
            if len(message) > self.max_message_size:
                raise MessageTooLargeError(f"{len(message)} bytes")
        try:
            await self.call(lambda: self.server.publish(self, messages), writes=True)
        except OutcomeUnknownError:
            self.unknown_publishes += 1
            raise

    async def subscribe(
        self, channel: str, on_message: Callable[[bytes], None], on_loss: Callable[[Loss], None]
    ) -> Subscription:
        subscription = Subscription(self, channel, on_message, on_loss)
        try:
            await self.call(lambda: self._listen(subscription))
        except BaseException:
            self.unsubscribe(subscription)
            raise
        return subscription

    async def count_subscribers(self, channels: Sequence[str]) -> list[int]:
        return await self.call(lambda: [self.server.bus.count(channel) for channel in channels])

    async def aclose(self) -> None:
        self.closed = True
        for subscription in list(self.subscriptions.values()):
            self.unsubscribe(subscription)
            subscription.on_loss(Loss.CLOSED)
        self._fail_calls()

    def unsubscribe(self, subscription: Subscription) -> None:
        subscription.open = False
        if self.subscriptions.pop(id(subscription), None) is not None:
            self._unlisten(subscription)

    def receive(self, subscription: Subscription, message: bytes, extra: float) -> None:
        """Put a message on its way from the server to the subscriber."""
        if not self.connected or self.black_hole or subscription.deaf:
            self.server.timeline.lost(self.host, subscription.channel, "not connected or deaf")
            return
        if subscription.overflowed or subscription.pending >= self.max_pending:
            subscription.overflowed = True  # until the loss is reported
            self.server.timeline.lost(self.host, subscription.channel, "overflow")
            return
        subscription.pending += 1
        loop = self.server.loop
        if extra:
            late = partial(subscription.deliver, message)
            loop.at(self.arrival() + extra, self.host, late)
            return
        self._received_until = max(self._received_until + _TICK, self.arrival())
        self._incoming.append(partial(subscription.deliver, message))
        # The callbacks may run in any order: each takes the oldest message.
        loop.at(self._received_until, self.host, self._take_in)

    def _take_in(self) -> None:
        self._incoming.popleft()()

    def next_arrival(self) -> float:
        """Return when the server gets a message sent now, after all messages sent before."""
        self._sent_until = max(self._sent_until + _TICK, self.arrival())
        return self._sent_until

    def disconnect(self) -> None:
        """Lose the connection: it is unknown whether calls under way were executed."""
        if self.closed or self.host.dead:
            return
        self.connected = False
        self._connection += 1
        self.server.timeline.note(self.host, "loses its connection")
        for subscription in self.subscriptions.values():
            self._unlisten(subscription)
        self._fail_calls()

    def reconnect_soon(self) -> None:
        loop, rng = self.server.loop, self.server.rng
        if not self.connected:
            loop.at(loop.now + rng.uniform(*_RECONNECT), self.host, self._reconnect)

    def _reconnect(self) -> None:
        if self.connected or self.held_back or self.server.down or self.closed or self.host.dead:
            return
        self.connected = True
        self.server.timeline.note(self.host, "is connected again")
        for subscription in list(self.subscriptions.values()):
            self._listen(subscription)
        for subscription in list(self.subscriptions.values()):
            if subscription.open:
                subscription.on_loss(Loss.RECONNECTED)

    def _die(self) -> None:
        for subscription in self.subscriptions.values():
            self._unlisten(subscription)
        self.closed = True

    def _listen(self, subscription: Subscription) -> None:
        if subscription.open:
            self.subscriptions[id(subscription)] = subscription
            subscription.deaf = False
            self.server.bus.subscribe(subscription.channel, _inbox(subscription))

    def _unlisten(self, subscription: Subscription) -> None:
        self.server.bus.unsubscribe(subscription.channel, _inbox(subscription))

    async def _write(
        self, key: str, value: str, ttl: int, only_if: Callable[[str | None], bool]
    ) -> bool:
        return await self.call(
            lambda: self.server.write(self, key, value, ttl, only_if), writes=True
        )

    async def call(self, execute: Callable[[], T], *, writes: bool = False) -> T:
        """Have the server execute something, and return what it answers."""
        await self._connect()
        loop, server = self.server.loop, self.server
        answered: asyncio.Future[None] = loop.create_future()
        results: list[T] = []
        connection = self._connection

        def arrive() -> None:
            if connection == self._connection and not server.down and not self.black_hole:
                results.append(execute())
                loop.at(self.arrival(), self.host, answer)
            elif writes and server.rng.random() < _ZOMBIES:
                loop.at(loop.now + server.rng.uniform(*_LATE), None, haunt)

        def haunt() -> None:
            """Execute a call that was sent before the connection broke, and is handled later."""
            if not server.down:
                server.timeline.note(self.host, "has a late call executed")
                execute()

        def answer() -> None:
            if not answered.done() and connection == self._connection:
                answered.set_result(None)

        loop.at(self.next_arrival(), None, arrive)
        self.calls[answered] = writes
        try:
            async with asyncio.timeout(_REPLY_TIMEOUT):
                await answered
        except TimeoutError:
            self.reset()
            raise self._unanswered(writes=writes) from None
        finally:
            self.calls.pop(answered, None)
        return results[0]

    async def _connect(self) -> None:
        if self.closed:
            raise BackendUnavailableError("this backend was closed")
        server = self.server
        if not self.connected:
            await asyncio.sleep(server.rng.uniform(0, _CONNECT_TIMEOUT))
            if not self.connected:
                raise BackendUnavailableError("the broker is away")
        if self.sheltered or not server.weather.reset:
            return
        if server.rng.random() < server.weather.reset:
            delay = server.rng.uniform(0, 3 * self.latency + 0.01)
            server.loop.at(server.loop.now + delay, self.host, self.reset)

    def reset(self) -> None:
        self.disconnect()
        self.reconnect_soon()

    def _fail_calls(self) -> None:
        for answered, writes in list(self.calls.items()):
            if not answered.done():
                answered.set_exception(self._unanswered(writes=writes))

    @staticmethod
    def _unanswered(*, writes: bool) -> BackendUnavailableError | OutcomeUnknownError:
        if writes:
            return OutcomeUnknownError("perhaps executed")
        return BackendUnavailableError("the connection was lost")

    def arrival(self) -> float:
        """Return when a message arrives that is sent now."""
        return self.server.loop.now + self.server.rng.uniform(0.5, 1.5) * self.latency


def _inbox(subscription: Subscription) -> Inbox:
    """Pass the subscription as an inbox: the bus only calls ``put``."""
    return subscription  # type: ignore[return-value]
