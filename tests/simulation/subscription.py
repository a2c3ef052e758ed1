"""A subscription at the simulated broker: what its messages suffer on their way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from resumable_stream import Loss

if TYPE_CHECKING:
    from collections.abc import Callable

    from simulation.adapters import Adapter


@dataclass(eq=False)
class Subscription:
    """A subscription, which is also the inbox into which the bus puts messages."""

    adapter: Adapter
    channel: str
    on_message: Callable[[bytes], None]
    on_loss: Callable[[Loss], None]
    open: bool = True
    deaf: bool = False
    pending: int = 0
    overflowed: bool = False

    def put(self, message: bytes) -> None:
        """Apply the weather to a message, then send it on to the subscriber."""
        server = self.adapter.server
        weather, chance = server.weather, server.rng.random
        copies, extra = 1, 0.0
        if not weather.fair:
            if chance() < weather.drop:
                server.timeline.lost(self.adapter.host, self.channel, "dropped")
                copies = 0
            if chance() < weather.repeat:
                copies += 1
            if chance() < weather.late:
                extra = server.rng.uniform(0.0, 1.5)
                server.timeline.lost(self.adapter.host, self.channel, "delayed")
            if chance() < weather.cut and message:
                message = message[: server.rng.randrange(len(message))]
                server.timeline.lost(self.adapter.host, self.channel, "cut")
        for _ in range(copies):
            self.adapter.receive(self, message, extra)

    def deliver(self, message: bytes) -> None:
        self.pending -= 1
        if self.open:
            self.on_message(message)
            if self.overflowed and not self.pending:
                self.overflowed = False
                self.on_loss(Loss.OVERFLOW)

    async def aclose(self) -> None:
        self.adapter.unsubscribe(self)
