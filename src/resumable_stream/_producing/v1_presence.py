"""Whether TypeScript listeners are there: they ask once, and do not say that they leave.

A newcomer is served once the broker has seen a subscriber on its channel. A listener without one is
sent nothing until it is back, and then goes on from where it stood. It is given up when a peer that
lost its connection would have come back. Where the broker does not tell, listeners count as there.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections import OrderedDict
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from resumable_stream._producing.v1_audience import V1Audience
    from resumable_stream._producing.v1_cursor import V1Cursor
    from resumable_stream._producing.v1_followers import V1Followers
    from resumable_stream._shared import Shared

logger = logging.getLogger("resumable_stream")

_LOOK_EVERY = 2.0
# A peer that has lost its connection tries again every two seconds, whatever the lease.
_LEAST_PATIENCE = 10.0

# How often newcomers are looked for. Each gives up by itself after a second.
_LOOK_FOR_NEWCOMERS_EVERY = 0.05
_NEWCOMER_PATIENCE = 1.0
# The most that wait to be looked for, and the most that wait to be seen: the oldest make room.
_MAX_NEWCOMERS = 1024

# How many channels are asked about at once.
_CHANNELS = 256


class _Newcomer(NamedTuple):
    skip: int
    since: float


class _Absent(NamedTuple):
    cursor: V1Cursor
    looks: int
    """How many looks in a row have not seen it."""


class Presence:
    """Looks for the listeners of one stream, as long as it has any.

    Args:
        on_look: called after each look; there may be something to send, or nobody left.
    """

    def __init__(
        self,
        stream_id: str,
        shared: Shared,
        audience: V1Audience,
        followers: V1Followers,
        on_look: Callable[[], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._stream_id = stream_id
        self._names = shared.names
        self._audience = audience
        self._followers = followers
        self._on_look = on_look
        options = shared.options
        patience = max(_LEAST_PATIENCE, options.lease + 2 * options.heartbeat_interval)
        # Counted in looks, not in seconds: a process that stands still looks for nobody.
        self._patience = 1 + math.ceil(patience / _LOOK_EVERY)
        self._fresh: OrderedDict[str, _Newcomer] = OrderedDict()  # not looked for yet
        self._unseen: OrderedDict[str, _Newcomer] = OrderedDict()
        self._absent: dict[str, _Absent] = {}
        self._looked_at = -_LOOK_EVERY
        self._due = self._loop.time() + _LOOK_EVERY
        self._stirred = asyncio.Event()
        self._ended = False
        self._task: asyncio.Task[None] | None = None

    def __bool__(self) -> bool:
        """Tell whether somebody is waited for."""
        return bool(self._fresh or self._unseen or self._absent)

    def expect(self, listener: str, skip: int) -> None:
        """Serve the listener once it is there."""
        if self._absent.pop(listener, None) is not None:
            self._followers.release()
        self._unseen.pop(listener, None)
        _keep(self._fresh, listener, _Newcomer(skip, self._loop.time()))
        self._stirred.set()
        if self._task is None or self._task.done():
            name = f"resumable-stream presence {self._stream_id!r}"
            self._task = self._loop.create_task(self._watch(), name=name)

    def doubt(self) -> None:
        """Serve those who seem to have gone, until they are looked for again."""
        absent, self._absent = self._absent, {}
        for listener, one in absent.items():
            self._followers.resume(listener, one.cursor)

    def end(self) -> None:
        """Look once more, and then wait for nobody."""
        self._ended = True
        self._due = self._loop.time()
        self._stirred.set()

    async def aclose(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
        self._fresh.clear()
        self._unseen.clear()
        self._absent.clear()

    async def _watch(self) -> None:
        try:
            while self._audience.can_be_seen and (self or self._followers.served):
                await self._until_due()
                await self._look()
                self._on_look()
        except Exception:
            logger.exception("stream %r: looking for listeners failed", self._stream_id)
            self._audience.stop_looking()
        self._trust_everybody()
        self._on_look()

    async def _until_due(self) -> None:
        """Wait for the next look: at everybody, or, with a pause in between, for newcomers."""
        while len(self._fresh) < _CHANNELS:
            newcomers_due = self._looked_at + _LOOK_FOR_NEWCOMERS_EVERY
            due = min(self._due, newcomers_due) if self._fresh or self._unseen else self._due
            if self._loop.time() >= due:
                return
            self._stirred.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(due):
                    await self._stirred.wait()

    async def _look(self) -> None:
        now = self._loop.time()
        asked = list(self._fresh)
        if now >= self._looked_at + _LOOK_FOR_NEWCOMERS_EVERY:
            self._looked_at = now
            asked += self._unseen
        if now >= self._due:
            self._due = now + _LOOK_EVERY
            asked += [*self._followers.served, *self._absent]
        witness = self._names.request(self._stream_id)
        for start in range(0, len(asked), _CHANNELS):
            some = asked[start : start + _CHANNELS]
            present = await self._audience.look(witness, [self._names.chunk(one) for one in some])
            if present is None:
                self._trust_everybody()
                return
            for listener, there in zip(some, present, strict=True):
                self._judge(listener, now, there=there)

    def _judge(self, listener: str, now: float, *, there: bool) -> None:
        newcomer = self._fresh.pop(listener, None) or self._unseen.pop(listener, None)
        if newcomer is not None:
            if there:
                self._followers.admit(listener, newcomer.skip)
            elif not self._ended and now < newcomer.since + _NEWCOMER_PATIENCE:
                _keep(self._unseen, listener, newcomer)
        elif (absent := self._absent.get(listener)) is not None:
            if there:
                del self._absent[listener]
                self._followers.resume(listener, absent.cursor)
            else:
                self._miss(listener, _Absent(absent.cursor, absent.looks + 1))
        elif not there and (cursor := self._followers.pause(listener)) is not None:
            self._miss(listener, _Absent(cursor, looks=1))

    def _miss(self, listener: str, absent: _Absent) -> None:
        if absent.looks < self._patience and not self._ended:
            self._absent[listener] = absent
            return
        self._absent.pop(listener, None)
        self._followers.release()
        logger.info("stream %r: a TypeScript listener expired", self._stream_id)

    def _trust_everybody(self) -> None:
        newcomers = self._unseen | self._fresh
        self._fresh.clear()
        self._unseen.clear()
        for listener, one in newcomers.items():
            self._followers.admit(listener, one.skip)
        self.doubt()


def _keep(some: OrderedDict[str, _Newcomer], listener: str, one: _Newcomer) -> None:
    if len(some) >= _MAX_NEWCOMERS:
        some.popitem(last=False)
    some[listener] = one
