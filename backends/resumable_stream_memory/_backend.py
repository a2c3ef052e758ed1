"""The two ports and the optional capabilities over a bus."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from operator import eq
from typing import TYPE_CHECKING

from resumable_stream.errors import BackendUnavailableError, MessageTooLargeError
from resumable_stream_memory._bus import Bus, Inbox, join_bus, leave_bus
from resumable_stream_memory._journal import MemoryJournal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from resumable_stream.ports import Loss

MAX_MESSAGE_SIZE = 1024 * 1024


def open_backend(url: str) -> MemoryBackend:
    """Open the backend of ``memory://name``; the name may be empty."""
    return MemoryBackend(url.partition("://")[2])


class MemoryBackend:
    """A backend on the bus of the given name, in this process.

    Args:
        name: backends of the same name share one bus.
        clock: gives seconds that never go back, for times to live. Backends of one name must share
            it.

    Attributes:
        journal: keeps text on the same bus, and is closed with this backend.
    """

    def __init__(self, name: str = "", *, clock: Callable[[], float] = time.monotonic) -> None:
        self._name = name
        self._bus: Bus | None = join_bus(name, self)
        self.journal = MemoryJournal(name, clock=clock)
        self._clock = clock
        self._subscriptions: set[_MemorySubscription] = set()

    @property
    def max_message_size(self) -> int:
        return MAX_MESSAGE_SIZE

    async def get(self, key: str) -> str | None:
        bus = await self._reach()
        return bus.get(key, self._clock())

    async def set(self, key: str, value: str, *, ttl: int) -> None:
        await self._write(key, value, ttl, lambda _present: True)

    async def create(self, key: str, value: str, *, ttl: int) -> bool:
        return await self._write(key, value, ttl, lambda present: present is None)

    async def compare_and_set(self, key: str, expected: str, value: str, *, ttl: int) -> bool:
        return await self._write(key, value, ttl, lambda present: present == expected)

    async def renew_many(self, entries: Sequence[tuple[str, str]], *, ttl: int) -> list[bool]:
        bus = await self._reach()
        now = self._clock()
        return [
            bus.write(key, value, deadline=now + ttl, now=now, only_if=partial(eq, value))
            for key, value in entries
        ]

    async def delete(self, key: str) -> None:
        bus = await self._reach()
        bus.delete(key)

    async def publish(self, channel: str, message: bytes) -> None:
        await self.publish_many([(channel, message)])

    async def publish_many(self, messages: Sequence[tuple[str, bytes]]) -> None:
        for _channel, message in messages:
            if len(message) > MAX_MESSAGE_SIZE:
                raise MessageTooLargeError(
                    f"a message of {len(message)} bytes exceeds max_message_size {MAX_MESSAGE_SIZE}"
                )
        bus = self._open_bus()
        for channel, message in messages:
            bus.publish(channel, message)
        # As on a broker, publishing gives way to others; the order of calls was fixed above.
        await asyncio.sleep(0)

    async def subscribe(
        self,
        channel: str,
        on_message: Callable[[bytes], None],
        on_loss: Callable[[Loss], None],
    ) -> _MemorySubscription:
        bus = await self._reach()
        subscription = _MemorySubscription(self, bus, channel, Inbox(on_message, on_loss))
        self._subscriptions.add(subscription)
        return subscription

    async def count_subscribers(self, channels: Sequence[str]) -> list[int]:
        bus = await self._reach()
        return [bus.count(channel) for channel in channels]

    async def aclose(self) -> None:
        if self._bus is not None:
            leave_bus(self._name, self)
        self._bus = None
        await self.journal.aclose()
        for subscription in list(self._subscriptions):
            subscription.end()
            subscription.inbox.report_closed()

    def forget(self, subscription: _MemorySubscription) -> None:
        self._subscriptions.discard(subscription)

    async def _write(
        self, key: str, value: str, ttl: int, only_if: Callable[[str | None], bool]
    ) -> bool:
        bus = await self._reach()
        now = self._clock()
        return bus.write(key, value, deadline=now + ttl, now=now, only_if=only_if)

    async def _reach(self) -> Bus:
        """Give way to others once, as a round trip to a broker would."""
        self._open_bus()
        await asyncio.sleep(0)
        return self._open_bus()

    def _open_bus(self) -> Bus:
        if self._bus is None:
            raise BackendUnavailableError("this in-memory backend was closed; open another one")
        return self._bus


class _MemorySubscription:
    __slots__ = ("_bus", "_channel", "_owner", "inbox")

    def __init__(self, owner: MemoryBackend, bus: Bus, channel: str, inbox: Inbox) -> None:
        self._owner = owner
        self._bus = bus
        self._channel = channel
        self.inbox = inbox
        bus.subscribe(channel, inbox)

    def end(self) -> None:
        self._bus.unsubscribe(self._channel, self.inbox)
        self.inbox.close()
        self._owner.forget(self)

    async def aclose(self) -> None:
        self.end()
