"""Which faults there are, a plan of them, and calls that suffer them."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, TypeVar

from resumable_stream.errors import BackendUnavailableError, OutcomeUnknownError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

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


class FaultyCalls:
    """Calls that are counted, and suffer their faults by plan, or an outage on command.

    Attributes:
        plan: which call suffers what.
        operations: how many operations have been counted.
        suffered: the faults that struck, by the operation's number.
    """

    def __init__(self, plan: FaultPlan | None) -> None:
        self.plan = plan or FaultPlan()
        self.operations = 0
        self.suffered: dict[int, Fault] = {}
        self._out = False

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
            raise BackendUnavailableError("this adapter is cut off")
