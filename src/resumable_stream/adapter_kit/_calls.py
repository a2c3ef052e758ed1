"""Calls that wait for a writer to send them."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from resumable_stream.adapter_kit._subscribers import settle

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

R = TypeVar("R")
T = TypeVar("T")
C = TypeVar("C", bound="Call[Any]")


class Call(Generic[R]):
    """What one caller of a writer waits for: ``await call.done``, and ``withdraw`` in ``finally``.

    Attributes:
        began: when it was made, by the event loop's clock.
        done: what became of it. A call is also done once nobody waits for it.
        sent: some of it was handed to a connection, so that it may have been executed.
    """

    __slots__ = ("began", "done", "sent")

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.began = loop.time()
        self.done: asyncio.Future[R] = loop.create_future()
        self.sent = False

    def succeed(self, result: R) -> None:
        """Give the caller its result, unless the call is done."""
        if not self.done.done():
            self.done.set_result(result)

    def fail(self, error: Exception) -> None:
        """Give the caller an error, unless the call is done."""
        if not self.done.done():
            self.done.set_exception(error)

    def withdraw(self) -> None:
        """Stop waiting for the call; what is not yet sent of it never will be."""
        settle(self.done)


class Calls(Generic[T, C]):
    """What is still to be sent, in the order of the calls: each item with its call.

    A call may have several items, put one after the other. What belongs to a call that is done,
    withdrawn or failed, is dropped instead of sent.
    """

    def __init__(self) -> None:
        self._waiting: deque[tuple[T, C]] = deque()

    def __iter__(self) -> Iterator[C]:
        """Iterate over the calls, once for each item."""
        return (call for _, call in self._waiting)

    def put(self, call: C, items: Iterable[T]) -> None:
        """Add a call's items at the end."""
        append = self._waiting.append
        for item in items:
            append((item, call))

    def take(self) -> tuple[T, C] | None:
        """Take the first item to send it, and mark its call as sent; None if nothing is left."""
        waiting = self._waiting
        while waiting:
            item, call = waiting.popleft()
            if not call.done.done():
                call.sent = True
                return item, call
        return None

    def is_left(self) -> bool:
        """Tell whether ``take`` would give anything."""
        waiting = self._waiting
        while waiting and waiting[0][1].done.done():
            waiting.popleft()
        return bool(waiting)

    def give_up(self, until: float = math.inf) -> Iterator[C]:
        """Remove the items of calls that began by ``until``; yield the call of each, to fail it."""
        while self._waiting and self._waiting[0][1].began <= until:
            yield self._waiting.popleft()[1]
