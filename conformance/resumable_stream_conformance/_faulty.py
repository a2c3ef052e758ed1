"""Faults for any backend, at the n-th operation or from a seed; only those that ports allow."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from resumable_stream.ports import Loss
from resumable_stream_conformance._faults import Fault, FaultyCalls
from resumable_stream_conformance._faulty_journal import FaultyJournal
from resumable_stream_conformance._journal_wrapper import journal_of
from resumable_stream_conformance._wrapper import BackendWrapper

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from resumable_stream.ports import Backend, Subscription
    from resumable_stream_conformance._faults import FaultPlan

Result = TypeVar("Result")


class FaultyBackend(BackendWrapper, FaultyCalls):
    """A backend that fails by plan, and on command.

    It keeps the ports' contract: messages of a channel stay in order, losses are reported where
    the contract says so, and an error is true about whether the operation was executed.

    Attributes:
        plan: which operation of the backend suffers what.
        operations: how many operations have been counted.
        suffered: the faults that struck, by the operation's number.
        journal: has a plan and numbers of its own, and can be cut off alone. None if the inner
            backend has no journal.
    """

    journal: FaultyJournal | None

    def __init__(self, inner: Backend, plan: FaultPlan | None = None) -> None:
        BackendWrapper.__init__(self, inner)
        FaultyCalls.__init__(self, plan)
        journal = journal_of(inner)
        self.journal = None if journal is None else FaultyJournal(journal)
        self._deaf = False
        self._sending = asyncio.Lock()
        self._subscriptions: set[_FaultySubscription] = set()
        self._recovery: asyncio.TimerHandle | None = None

    def cut_off(self) -> None:
        """Begin an outage, also of the journal: no call is executed, and no message comes in."""
        self._out = self._deaf = True
        if self.journal is not None:
            self.journal.cut_off()
        if self._recovery is not None:
            self._recovery.cancel()

    def restore(self) -> None:
        """End an outage, also of the journal, or a cut-off: subscriptions are told."""
        self._out = False
        if self.journal is not None:
            self.journal.restore()
        self._hear_again()

    def _hear_again(self) -> None:
        self._deaf = False
        for subscription in list(self._subscriptions):
            subscription.reconnected()

    async def get(self, key: str) -> str | None:
        return await self._call(lambda: self.inner.get(key), writes=False)

    async def set(self, key: str, value: str, *, ttl: int) -> None:
        await self._call(lambda: self.inner.set(key, value, ttl=ttl))

    async def create(self, key: str, value: str, *, ttl: int) -> bool:
        return await self._call(lambda: self.inner.create(key, value, ttl=ttl))

    async def compare_and_set(self, key: str, expected: str, value: str, *, ttl: int) -> bool:
        return await self._call(lambda: self.inner.compare_and_set(key, expected, value, ttl=ttl))

    async def renew_many(self, entries: Sequence[tuple[str, str]], *, ttl: int) -> Sequence[bool]:
        renew = super().renew_many
        return await self._call(lambda: renew(entries, ttl=ttl))

    async def delete(self, key: str) -> None:
        await self._call(lambda: self.inner.delete(key))

    async def publish(self, channel: str, message: bytes) -> None:
        await self.publish_many([(channel, message)])

    async def publish_many(self, messages: Sequence[tuple[str, bytes]]) -> None:
        # The lock keeps publishers in the order of their calls, even if one is delayed.
        async with self._sending:
            sent: list[tuple[str, bytes]] = []
            for pair in messages:
                fault = self._next_fault()
                if fault is Fault.DROP:
                    continue
                if fault is Fault.DUPLICATE:
                    sent.append(pair)
                sent.append(pair)
                if fault not in (None, Fault.DUPLICATE):
                    await self._suffer(fault, partial(self.inner.publish_many, tuple(sent)))
                    sent.clear()
            self._refuse_when_out()
            if sent:
                await self.inner.publish_many(sent)
            else:
                await asyncio.sleep(0)

    async def subscribe(
        self,
        channel: str,
        on_message: Callable[[bytes], None],
        on_loss: Callable[[Loss], None],
    ) -> Subscription:
        subscription = _FaultySubscription(self, on_message, on_loss)
        subscription.inner = await self._call(
            lambda: self.inner.subscribe(channel, subscription.hear, subscription.lose),
            writes=False,
        )
        self._subscriptions.add(subscription)
        return subscription

    async def count_subscribers(self, channels: Sequence[str]) -> Sequence[int] | None:
        count = super().count_subscribers
        return await self._call(lambda: count(channels), writes=False)

    async def aclose(self) -> None:
        if self._recovery is not None:
            self._recovery.cancel()
        await super().aclose()

    @property
    def deaf(self) -> bool:
        return self._deaf

    def forget(self, subscription: _FaultySubscription) -> None:
        self._subscriptions.discard(subscription)

    async def _suffer(
        self, fault: Fault | None, operation: Callable[[], Awaitable[Result]]
    ) -> Result:
        if fault is Fault.CUT_OFF:
            self._refuse_when_out()
            self._go_deaf()
        return await super()._suffer(fault, operation)

    def _go_deaf(self) -> None:
        if not self._deaf:
            self._deaf = True
            loop = asyncio.get_running_loop()
            self._recovery = loop.call_later(self.plan.seconds, self._hear_again)


class _FaultySubscription:
    inner: Subscription

    def __init__(
        self,
        owner: FaultyBackend,
        on_message: Callable[[bytes], None],
        on_loss: Callable[[Loss], None],
    ) -> None:
        self._owner = owner
        self._on_message = on_message
        self._on_loss = on_loss

    def hear(self, message: bytes) -> None:
        if not self._owner.deaf:
            self._on_message(message)

    def lose(self, loss: Loss) -> None:
        if loss is Loss.CLOSED:
            self._owner.forget(self)
        self._on_loss(loss)

    def reconnected(self) -> None:
        self._on_loss(Loss.RECONNECTED)

    async def aclose(self) -> None:
        self._owner.forget(self)
        await self.inner.aclose()
