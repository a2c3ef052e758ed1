"""Deliver to many subscribers of a channel without keeping the event loop from all others."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from resumable_stream.adapter_kit import deliver

if TYPE_CHECKING:
    from resumable_stream.adapter_kit import Channel, Subscriber
    from resumable_stream_redis._line import Line

# More subscribers of a channel than this are a crowd.
FEW = 4
# In one turn of the event loop this many of all crowds get what has come, so that they may read it,
# and other work is done, while the rest still waits.
TURN = 16


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
        self._go_on(line, deque((m, channel.subscribers) for channel, m in waiting.items()))

    def _go_on(self, line: Line, left: deque[tuple[list[bytes], tuple[Subscriber, ...]]]) -> None:
        room = TURN
        while left and room > 0:
            messages, subscribers = left.popleft()
            for message in messages:
                # One message after the other, because the core keeps a decoded message for the
                # next who takes it.
                deliver(message, subscribers[:room])
            if others := subscribers[room:]:
                left.appendleft((messages, others))
            room -= len(subscribers)
        if left:
            asyncio.get_running_loop().call_soon(self._go_on, line, left)
        else:
            line.go_on()
