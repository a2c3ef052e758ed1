"""What a subscription received, for tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from support.servers import eventually

if TYPE_CHECKING:
    from resumable_stream.ports import Loss, PubSub, Subscription


class Inbox:
    def __init__(self) -> None:
        self.messages: list[bytes] = []
        self.losses: list[Loss] = []

    async def subscribe(self, pubsub: PubSub, channel: str) -> Subscription:
        return await pubsub.subscribe(channel, self.messages.append, self.losses.append)

    async def received(self, *messages: bytes) -> None:
        try:
            await eventually(lambda: len(self.messages) >= len(messages), f"{messages!r}")
        except AssertionError as error:
            # A message may be lost with its connection, but only if the loss is reported.
            raise AssertionError(
                f"{error}; received {self.messages!r:.200}, was told of {self.losses}"
            ) from error
        assert self.messages == list(messages)

    async def lost(self, times: int = 1) -> None:
        await eventually(lambda: len(self.losses) >= times, f"{times} losses, not {self.losses}")
