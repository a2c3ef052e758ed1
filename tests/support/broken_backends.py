"""Third-party backends that each break one law, found by the URL ``broken://law``."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING

from resumable_stream_conformance import BackendWrapper
from resumable_stream_memory import MemoryBackend

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from resumable_stream.ports import Backend, Loss, Subscription


class RacyCreate(BackendWrapper):
    async def create(self, key: str, value: str, *, ttl: int) -> bool:
        if await self.inner.get(key) is not None:
            return False
        await self.inner.set(key, value, ttl=ttl)
        return True


class BlindCompareAndSet(BackendWrapper):
    async def compare_and_set(self, key: str, expected: str, value: str, *, ttl: int) -> bool:
        if await self.inner.get(key) is None:
            return False
        await self.inner.set(key, value, ttl=ttl)
        return True


class IgnoredTtl(BackendWrapper):
    async def set(self, key: str, value: str, *, ttl: int) -> None:
        await self.inner.set(key, value, ttl=3600)

    async def create(self, key: str, value: str, *, ttl: int) -> bool:
        return await self.inner.create(key, value, ttl=3600)

    async def compare_and_set(self, key: str, expected: str, value: str, *, ttl: int) -> bool:
        return await self.inner.compare_and_set(key, expected, value, ttl=3600)


class EarlySubscribe(BackendWrapper):
    """Every 45th ``subscribe`` returns before the server has confirmed the subscription."""

    def __init__(self, inner: Backend) -> None:
        super().__init__(inner)
        self.turns = itertools.count(1)
        self.late: set[asyncio.Task[Subscription]] = set()

    async def subscribe(
        self, channel: str, on_message: Callable[[bytes], None], on_loss: Callable[[Loss], None]
    ) -> Subscription:
        if next(self.turns) % 45:
            return await self.inner.subscribe(channel, on_message, on_loss)
        task = asyncio.create_task(self._subscribe_late(channel, on_message, on_loss))
        self.late.add(task)
        return _Late(task)

    async def aclose(self) -> None:
        await asyncio.gather(*self.late)
        await self.inner.aclose()

    async def _subscribe_late(
        self, channel: str, on_message: Callable[[bytes], None], on_loss: Callable[[Loss], None]
    ) -> Subscription:
        await asyncio.sleep(0.1)  # longer than any test takes between subscribing and publishing
        return await self.inner.subscribe(channel, on_message, on_loss)


class _Late:
    def __init__(self, task: asyncio.Task[Subscription]) -> None:
        self.task = task

    async def aclose(self) -> None:
        await (await self.task).aclose()


class LostUnsubscribe(BackendWrapper):
    async def subscribe(
        self, channel: str, on_message: Callable[[bytes], None], on_loss: Callable[[Loss], None]
    ) -> Subscription:
        await self.inner.subscribe(channel, on_message, on_loss)
        return _Deaf()


class _Deaf:
    async def aclose(self) -> None:
        await asyncio.sleep(0)


class GreedyUnsubscribe(BackendWrapper):
    """Closing one subscription closes all others to the same channel."""

    def __init__(self, inner: Backend) -> None:
        super().__init__(inner)
        self.live: dict[str, list[Subscription]] = {}

    async def subscribe(
        self, channel: str, on_message: Callable[[bytes], None], on_loss: Callable[[Loss], None]
    ) -> Subscription:
        subscription = await self.inner.subscribe(channel, on_message, on_loss)
        self.live.setdefault(channel, []).append(subscription)
        return _Greedy(self, channel)


class _Greedy:
    def __init__(self, owner: GreedyUnsubscribe, channel: str) -> None:
        self.owner = owner
        self.channel = channel

    async def aclose(self) -> None:
        for subscription in self.owner.live.pop(self.channel, []):
            await subscription.aclose()


class ReorderingPublish(BackendWrapper):
    """A small message overtakes a large one, as it may in a pool of connections."""

    async def publish(self, channel: str, message: bytes) -> None:
        for _ in range(len(message) // 500):
            await asyncio.sleep(0)
        await self.inner.publish(channel, message)


class WildcardNames(BackendWrapper):
    """Names go to the broker unescaped, so that ``*`` and ``>`` match other channels."""

    async def subscribe(
        self, channel: str, on_message: Callable[[bytes], None], on_loss: Callable[[Loss], None]
    ) -> Subscription:
        if channel.endswith((">", "*")):
            return await self.inner.subscribe("every message", on_message, on_loss)
        return await self.inner.subscribe(channel, on_message, on_loss)

    async def publish_many(self, messages: Sequence[tuple[str, bytes]]) -> None:
        await self.inner.publish_many(
            [pair for channel, message in messages for pair in _with_copy(channel, message)]
        )

    async def publish(self, channel: str, message: bytes) -> None:
        await self.inner.publish_many(_with_copy(channel, message))


def _with_copy(channel: str, message: bytes) -> list[tuple[str, bytes]]:
    return [(channel, message), ("every message", message)]


class TruncatedNames(BackendWrapper):
    """Keys are cut to the length that the broker accepts."""

    async def get(self, key: str) -> str | None:
        return await self.inner.get(key[:255])

    async def set(self, key: str, value: str, *, ttl: int) -> None:
        await self.inner.set(key[:255], value, ttl=ttl)

    async def create(self, key: str, value: str, *, ttl: int) -> bool:
        return await self.inner.create(key[:255], value, ttl=ttl)

    async def delete(self, key: str) -> None:
        await self.inner.delete(key[:255])


class SilentClose(BackendWrapper):
    """``on_loss`` is never called, not even when the backend is closed."""

    async def subscribe(
        self, channel: str, on_message: Callable[[bytes], None], on_loss: Callable[[Loss], None]
    ) -> Subscription:
        return await self.inner.subscribe(channel, on_message, lambda _loss: None)


class ShortSighted(BackendWrapper):
    """It counts its own subscriptions only, as a node of a cluster does."""

    def __init__(self, inner: Backend) -> None:
        super().__init__(inner)
        self.own: set[str] = set()

    async def subscribe(
        self, channel: str, on_message: Callable[[bytes], None], on_loss: Callable[[Loss], None]
    ) -> Subscription:
        self.own.add(channel)
        return await self.inner.subscribe(channel, on_message, on_loss)

    async def count_subscribers(self, channels: Sequence[str]) -> Sequence[int] | None:
        counts = await super().count_subscribers(channels) or ()
        return [
            number if channel in self.own else 0
            for channel, number in zip(channels, counts, strict=True)
        ]


class BlindRenewals(BackendWrapper):
    """It writes each key, whatever the key holds."""

    async def renew_many(self, entries: Sequence[tuple[str, str]], *, ttl: int) -> Sequence[bool]:
        for key, value in entries:
            await self.inner.set(key, value, ttl=ttl)
        return [True] * len(entries)


class IdleRenewals(BackendWrapper):
    """It compares, and renews nothing."""

    async def renew_many(self, entries: Sequence[tuple[str, str]], *, ttl: int) -> Sequence[bool]:
        return [await self.inner.get(key) == value and ttl > 0 for key, value in entries]


class RacyRenewals(BackendWrapper):
    """It compares in one step and writes in another."""

    async def renew_many(self, entries: Sequence[tuple[str, str]], *, ttl: int) -> Sequence[bool]:
        held = [await self.inner.get(key) == value for key, value in entries]
        for (key, value), mine in zip(entries, held, strict=True):
            if mine:
                await self.inner.set(key, value, ttl=ttl)
        return held


LAWS: dict[str, type[BackendWrapper]] = {
    "racy-create": RacyCreate,
    "blind-compare-and-set": BlindCompareAndSet,
    "ignored-ttl": IgnoredTtl,
    "early-subscribe": EarlySubscribe,
    "lost-unsubscribe": LostUnsubscribe,
    "greedy-unsubscribe": GreedyUnsubscribe,
    "reordering-publish": ReorderingPublish,
    "wildcard-names": WildcardNames,
    "truncated-names": TruncatedNames,
    "silent-close": SilentClose,
    "short-sighted": ShortSighted,
    "blind-renewals": BlindRenewals,
    "idle-renewals": IdleRenewals,
    "racy-renewals": RacyRenewals,
    "none": BackendWrapper,
}


def open_broken(url: str) -> BackendWrapper:
    """Open one that breaks a law, on a bus that all share whose URL is the same."""
    name = url.partition("://")[2]
    return LAWS[name.partition("/")[0]](MemoryBackend(name))
