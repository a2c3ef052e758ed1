"""Faults for any backend, at the n-th operation or from a seed; only those that ports allow."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from resumable_stream.errors import BackendUnavailableError, OutcomeUnknownError
from resumable_stream.ports import Loss
from resumable_stream_conformance._wrapper import BackendWrapper

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from resumable_stream.ports import Backend, Subscription

Result = TypeVar("Result")


class Fault(StrEnum):
    """What can go wrong with one operation: a call, or one message of ``publish_many``."""

    DROP = "drop"
    """The message is lost silently. Publishing only."""

    DUPLICATE = "duplicate"
    """The message is sent twice in a row, as by a driver that sends again. Publishing only."""

    DELAY = "delay"
    """This message, and every later one of this adapter, is sent late. Publishing only."""

    SLOW = "slow"
    """The call takes long."""

    CUT_OFF = "cut off"
    """This adapter's subscriptions hear nothing for a while, then learn ``Loss.RECONNECTED``."""

    UNAVAILABLE = "unavailable"
    """``BackendUnavailableError``; not executed."""

    UNKNOWN_EXECUTED = "unknown, executed"
    """``OutcomeUnknownError``; executed. A read or a subscription is merely unavailable."""

    UNKNOWN_LOST = "unknown, lost"
    """``OutcomeUnknownError``; not executed. A read or a subscription is merely unavailable."""


@dataclass(frozen=True, kw_only=True)
class FaultPlan:
    """Which operation suffers which fault.

    Args:
        at: faults by the operation's number, counted from 1.
        odds: how likely each fault is for every operation that ``at`` does not name.
        seed: of the random draws; one seed gives the n-th operation always the same fault.
        last: the number of the last operation that may suffer a random fault; None for no limit.
        seconds: how long a delay, a slow call or a cut-off lasts.
    """

    at: Mapping[int, Fault] = field(default_factory=dict)
    odds: Mapping[Fault, float] = field(default_factory=dict)
    seed: int = 0
    last: int | None = None
    seconds: float = 0.05

    def fault(self, number: int) -> Fault | None:
        """Return the fault of the operation with this number; None for no fault."""
        if number in self.at:
            return self.at[number]
        if self.last is not None and number > self.last:
            return None
        chance = random.Random(f"{self.seed}/{number}").random()
        for fault, likelihood in self.odds.items():
            chance -= likelihood
            if chance < 0:
                return fault
        return None


class FaultyBackend(BackendWrapper):
    """A backend that fails by plan, and on command.

    It keeps the ports' contract: messages of a channel stay in order, losses are reported where
    the contract says so, and an error is true about whether the operation was executed.

    Attributes:
        operations: how many operations have been counted.
        suffered: the faults that struck, by the operation's number.
    """

    def __init__(self, inner: Backend, plan: FaultPlan | None = None) -> None:
        super().__init__(inner)
        self.plan = plan or FaultPlan()
        self.operations = 0
        self.suffered: dict[int, Fault] = {}
        self._out = False
        self._deaf = False
        self._sending = asyncio.Lock()
        self._subscriptions: set[_FaultySubscription] = set()
        self._recovery: asyncio.TimerHandle | None = None

    def cut_off(self) -> None:
        """Begin an outage: every call is unavailable, and no message comes in."""
        self._out = self._deaf = True
        if self._recovery is not None:
            self._recovery.cancel()

    def restore(self) -> None:
        """End an outage or a cut-off: live subscriptions are told that they reconnected."""
        self._out = self._deaf = False
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

    def _next_fault(self) -> Fault | None:
        self.operations += 1
        fault = self.plan.fault(self.operations)
        if fault is not None:
            self.suffered[self.operations] = fault
        return fault

    async def _call(
        self, operation: Callable[[], Awaitable[Result]], *, writes: bool = True
    ) -> Result:
        fault = self._next_fault()
        if not writes and fault in (Fault.UNKNOWN_EXECUTED, Fault.UNKNOWN_LOST):
            fault = Fault.UNAVAILABLE
        return await self._suffer(fault, operation)

    async def _suffer(
        self, fault: Fault | None, operation: Callable[[], Awaitable[Result]]
    ) -> Result:
        if fault in (Fault.SLOW, Fault.DELAY):
            await asyncio.sleep(self.plan.seconds)
        self._refuse_when_out()
        if fault is Fault.CUT_OFF:
            self._go_deaf()
        if fault in (Fault.UNAVAILABLE, Fault.UNKNOWN_EXECUTED, Fault.UNKNOWN_LOST):
            if fault is Fault.UNKNOWN_EXECUTED:
                await operation()
            await asyncio.sleep(0)
            if fault is Fault.UNAVAILABLE:
                raise BackendUnavailableError(f"fault at operation {self.operations}")
            raise OutcomeUnknownError(f"fault at operation {self.operations}")
        return await operation()

    def _refuse_when_out(self) -> None:
        if self._out:
            raise BackendUnavailableError("this backend is cut off")

    def _go_deaf(self) -> None:
        if not self._deaf:
            self._deaf = True
            loop = asyncio.get_running_loop()
            self._recovery = loop.call_later(self.plan.seconds, self.restore)


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
