"""Record what a subscription's handlers get, and wait for it."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from resumable_stream.ports import Loss, PubSub, Subscription

# Everything arrives long before this; only a failing test waits this long.
PATIENCE = 5.0


class Recorder:
    """The two handlers of a subscription, which record their calls."""

    def __init__(self) -> None:
        self.messages: list[bytes] = []
        self.losses: list[Loss] = []
        self.misplaced_calls = 0
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._changed = asyncio.Event()

    def on_message(self, message: bytes) -> None:
        self._note()
        self.messages.append(message)

    def on_loss(self, loss: Loss) -> None:
        self._note()
        self.losses.append(loss)

    async def subscribe(self, backend: PubSub, channel: str) -> Subscription:
        return await backend.subscribe(channel, self.on_message, self.on_loss)

    async def until(self, holds: Callable[[], bool], what: str, patience: float = PATIENCE) -> None:
        """Wait until ``holds`` is true of what was recorded."""
        __tracebackhide__ = True
        try:
            async with asyncio.timeout(patience):
                while not holds():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError as error:
            raise AssertionError(
                f"{what}: not within {patience:g} s; {len(self.messages)} messages, "
                f"the last {[m[:40] for m in self.messages[-3:]]}, losses {self.losses!r}"
            ) from error

    async def until_told(self, loss: Loss) -> None:
        await self.until(lambda: loss in self.losses, f"is told {loss!r}")

    async def until_received(self, message: bytes) -> None:
        await self.until(lambda: message in self.messages, f"receives {message[:60]!r}")

    async def until_heard(self, publisher: PubSub, channel: str, message: bytes) -> None:
        """Publish until the message arrives: the subscription may not be live yet."""
        __tracebackhide__ = True
        deadline = time.monotonic() + PATIENCE
        while message not in self.messages:
            assert time.monotonic() < deadline, f"the subscription to {channel!r} stays deaf"
            await publisher.publish(channel, message)
            await asyncio.sleep(0.001)

    async def until_count(self, count: int) -> None:
        await self.until(lambda: len(self.messages) >= count, f"receives {count} messages")

    def _note(self) -> None:
        if threading.get_ident() != self._thread:
            self.misplaced_calls += 1
            self._loop.call_soon_threadsafe(self._changed.set)
        else:
            self._changed.set()
