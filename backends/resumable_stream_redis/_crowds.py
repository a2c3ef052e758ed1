"""Deliver to many subscribers of a channel without keeping the event loop from all others."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from resumable_stream.adapter_kit import deliver

if TYPE_CHECKING:
    from collections.abc import Iterator

    from resumable_stream.adapter_kit import Channel, Subscriber
    from resumable_stream_redis._line import Line

# More subscribers of a channel than this are a crowd.
FEW = 4
# In one turn of the event loop this many of all crowds get what has come, so that they may read it,
# and other work is done, while the rest still waits.
TURN = 16
# Messages are delivered together up to this size. The core decodes a message once for those who
# take it one after the other: for a large one that is worth more than to wake them once.
_TOGETHER = 4096


class Crowds:
    """What has come for channels with many subscribers.

    Nothing more is taken from the connection while it is delivered. So what comes meanwhile is
    delivered together afterwards, and each subscriber is woken once for all of it: the more there
    is to do, the less each message costs.
    """

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: dict[Channel[bytes], list[bytes]] = {}

    def add(self, line: Line, channel: Channel[bytes], message: bytes) -> None:
        """Deliver the message soon, after earlier ones of the channel."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._begin, line)
        self._waiting.setdefault(channel, []).append(message)

    def _begin(self, line: Line) -> None:
        line.hold()
        waiting, self._waiting = self._waiting, {}
        left = deque(
            (together, channel.subscribers)
            for channel, messages in waiting.items()
            for together in _divided(messages)
        )
        self._go_on(line, left)

    def _go_on(self, line: Line, left: deque[tuple[list[bytes], tuple[Subscriber, ...]]]) -> None:
        room = TURN
        while left and room > 0:
            messages, subscribers = left.popleft()
            for message in messages:
                deliver(message, subscribers[:room])
            if others := subscribers[room:]:
                left.appendleft((messages, others))
            room -= len(subscribers)
        if left:
            asyncio.get_running_loop().call_soon(self._go_on, line, left)
        else:
            line.go_on()


def _divided(messages: list[bytes]) -> Iterator[list[bytes]]:
    """Divide messages into those to deliver together."""
    together: list[bytes] = []
    size = 0
    for message in messages:
        size += len(message)
        if together and size > _TOGETHER:
            yield together
            together, size = [], len(message)
        together.append(message)
    yield together
