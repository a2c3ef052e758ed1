"""Backends around a backend: one that passes every call on, one that counts the calls."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from resumable_stream.ports import Renewals, SubscriberCounts
from resumable_stream_conformance._journal_wrapper import ObservedJournal, journal_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from resumable_stream.journal import Journal
    from resumable_stream.ports import Backend, Loss, Subscription


class BackendWrapper:
    """A backend that passes every call on to another; override the methods that differ.

    Attributes:
        journal: that of the inner backend, if it has one.
    """

    journal: Journal | None

    def __init__(self, inner: Backend) -> None:
        self.inner = inner
        self.journal = journal_of(inner)

    @property
    def max_message_size(self) -> int:
        return self.inner.max_message_size

    async def get(self, key: str) -> str | None:
        return await self.inner.get(key)

    async def set(self, key: str, value: str, *, ttl: int) -> None:
        await self.inner.set(key, value, ttl=ttl)

    async def create(self, key: str, value: str, *, ttl: int) -> bool:
        return await self.inner.create(key, value, ttl=ttl)

    async def compare_and_set(self, key: str, expected: str, value: str, *, ttl: int) -> bool:
        return await self.inner.compare_and_set(key, expected, value, ttl=ttl)

    async def renew_many(self, entries: Sequence[tuple[str, str]], *, ttl: int) -> Sequence[bool]:
        """Renew nothing if the inner backend cannot renew many at once."""
        if not isinstance(self.inner, Renewals):
            return [False] * len(entries)
        return await self.inner.renew_many(entries, ttl=ttl)

    async def delete(self, key: str) -> None:
        await self.inner.delete(key)

    async def publish(self, channel: str, message: bytes) -> None:
        await self.inner.publish(channel, message)

    async def publish_many(self, messages: Sequence[tuple[str, bytes]]) -> None:
        await self.inner.publish_many(messages)

    async def subscribe(
        self,
        channel: str,
        on_message: Callable[[bytes], None],
        on_loss: Callable[[Loss], None],
    ) -> Subscription:
        return await self.inner.subscribe(channel, on_message, on_loss)

    async def count_subscribers(self, channels: Sequence[str]) -> Sequence[int] | None:
        """Return None if the inner backend does not count."""
        if not isinstance(self.inner, SubscriberCounts):
            return None
        return await self.inner.count_subscribers(channels)

    async def aclose(self) -> None:
        await self.inner.aclose()


class ObservedBackend(BackendWrapper):
    """A backend that counts its calls.

    Attributes:
        calls: how often each method was called; each message of ``publish_many`` counts as a
            ``publish``, and each key that ``renew_many`` renews as a ``compare_and_set``.
        live: the channels of the subscriptions that are not closed yet.
        journal: counts its own calls; None if the inner backend has no journal.
    """

    journal: ObservedJournal | None

    def __init__(self, inner: Backend) -> None:
        super().__init__(inner)
        journal = journal_of(inner)
        self.journal = None if journal is None else ObservedJournal(journal)
        self.calls: Counter[str] = Counter()
        self.live: Counter[str] = Counter()

    async def get(self, key: str) -> str | None:
        self.calls["get"] += 1
        return await super().get(key)

    async def set(self, key: str, value: str, *, ttl: int) -> None:
        self.calls["set"] += 1
        await super().set(key, value, ttl=ttl)

    async def create(self, key: str, value: str, *, ttl: int) -> bool:
        self.calls["create"] += 1
        return await super().create(key, value, ttl=ttl)

    async def compare_and_set(self, key: str, expected: str, value: str, *, ttl: int) -> bool:
        self.calls["compare_and_set"] += 1
        return await super().compare_and_set(key, expected, value, ttl=ttl)

    async def renew_many(self, entries: Sequence[tuple[str, str]], *, ttl: int) -> Sequence[bool]:
        self.calls["renew_many"] += 1
        renewed = await super().renew_many(entries, ttl=ttl)
        self.calls["compare_and_set"] += sum(renewed)
        return renewed

    async def delete(self, key: str) -> None:
        self.calls["delete"] += 1
        await super().delete(key)

    async def publish(self, channel: str, message: bytes) -> None:
        self.calls["publish"] += 1
        await super().publish(channel, message)

    async def publish_many(self, messages: Sequence[tuple[str, bytes]]) -> None:
        self.calls["publish"] += len(messages)
        await super().publish_many(messages)

    async def subscribe(
        self,
        channel: str,
        on_message: Callable[[bytes], None],
        on_loss: Callable[[Loss], None],
    ) -> Subscription:
        self.calls["subscribe"] += 1
        subscription = await super().subscribe(channel, on_message, on_loss)
        self.live[channel] += 1
        return _ObservedSubscription(self, channel, subscription)

    async def count_subscribers(self, channels: Sequence[str]) -> Sequence[int] | None:
        self.calls["count_subscribers"] += 1
        return await super().count_subscribers(channels)

    @property
    def writes(self) -> int:
        """How many calls may have written a key."""
        return sum(self.calls[name] for name in ("set", "create", "compare_and_set", "delete"))

    @property
    def live_subscriptions(self) -> int:
        return self.live.total()


class _ObservedSubscription:
    def __init__(self, owner: ObservedBackend, channel: str, inner: Subscription) -> None:
        self._owner = owner
        self._channel = channel
        self._inner = inner
        self._open = True

    async def aclose(self) -> None:
        await self._inner.aclose()
        if self._open:
            self._open = False
            self._owner.live[self._channel] -= 1
