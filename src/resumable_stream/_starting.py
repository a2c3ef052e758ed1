"""One call that starts a stream, or joins it, wherever it is."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, NamedTuple

from resumable_stream._protocol.places import EventId, Start
from resumable_stream._stream import NotFound, find_next_with, take_reader
from resumable_stream.errors import (
    HandshakeTimeoutError,
    ResumableStreamError,
    StreamHistoryChangedError,
)

if TYPE_CHECKING:
    from resumable_stream._continuing import Continuation
    from resumable_stream._instance import Instance
    from resumable_stream._source import MakeStream
    from resumable_stream._stream import Reader, ResumableStream
    from resumable_stream._stream_end import OnEnd

logger = logging.getLogger("resumable_stream")

# How often a caller tries to continue a stream that stays lost.
_MOST_TRIES = 3
# A dead producer's stream is marked active for so many leases at most.
_LEASES = 1.1


class Starting(NamedTuple):
    """What a caller of ``resumable_stream`` wants; its arguments were checked."""

    instance: Instance
    stream_id: str
    make_stream: MakeStream
    on_end: OnEnd | None
    replay: bool
    continuation: Continuation | None

    async def stream(self, start: Start) -> ResumableStream | None:
        """Start the stream, or join it; return None if it has completed and is not kept."""
        stream = await self._found(start)
        if stream is not None and self.continuation is not None:
            find_next_with(stream, self._next_run)
        return stream

    async def _next_run(self, reader: Reader) -> Reader | None:
        """Read on where a reader's run was lost: in one that continues it, or in one of our own.

        Raises:
            StreamHistoryChangedError: less is kept than the reader has read.
        """
        next_run = self.instance.joining.next_run
        found = await next_run(self.stream_id, reader)
        if found is None:
            if reader.last_event_id is None:
                return None
            place = EventId.parse(reader.last_event_id)
            start = Start(event_id=place, named=True) if place.sequence else Start()
            attempt = _Attempt(self, start)
            task = self.instance.shared.background.start(
                attempt.run(), f"resumable-stream continuation {self.stream_id!r}"
            )
            await asyncio.wait({task})
            if not task.cancelled():
                task.result()
            if attempt.begun is not None:
                return take_reader(attempt.begun)
            if attempt.changed is not None:
                raise attempt.changed
            found = await next_run(self.stream_id, reader)  # another caller was faster
        return found

    async def _found(self, start: Start) -> ResumableStream | None:
        instance, stream_id, continuation = self.instance, self.stream_id, self.continuation
        deadline: float | None = None
        tries = 0
        # Until then, a stream may be marked active whose producer is dead.
        expired = instance.loop.time() + _LEASES * instance.shared.options.lease
        while True:
            begun = await self.begun(start, continuation)
            if begun is not None:
                return begun
            try:
                joined = await instance.joining.join(
                    stream_id, start, replay=self.replay, continuation=continuation
                )
            except HandshakeTimeoutError:
                if continuation is None or instance.loop.time() >= expired:
                    raise
                continue
            if not isinstance(joined, NotFound):
                return joined
            tries += 1
            if continuation is not None and tries > _MOST_TRIES:
                continuation = None  # what is left of it cannot be continued
            elif continuation is None and start.event_id is not None:
                raise StreamHistoryChangedError(stream_id)
            # It was taken, and is gone again: begin once more, unless that goes on and on.
            now, patience = instance.loop.time(), instance.shared.options.handshake_timeout
            if deadline is None:
                deadline = now + patience
            elif now > deadline:
                raise HandshakeTimeoutError(stream_id, start.offset, patience)

    async def begun(
        self, start: Start, continuation: Continuation | None
    ) -> ResumableStream | None:
        """Produce the stream here; return None if somebody else does, or it is over."""
        instance, stream_id = self.instance, self.stream_id
        # A new run cannot continue the text that an event id belongs to.
        if start.event_id and not await instance.is_lost(stream_id, start, continuation):
            return None
        return await instance.begin(
            stream_id, self.make_stream, start, self.on_end, join=True, continuation=continuation
        )


class _Attempt:
    """One attempt to continue a stream, which outlives a reader that does not wait for it."""

    def __init__(self, starting: Starting, start: Start) -> None:
        self._starting = starting
        self._start = start
        self.begun: ResumableStream | None = None
        self.changed: StreamHistoryChangedError | None = None

    async def run(self) -> None:
        try:
            self.begun = await self._starting.begun(self._start, self._starting.continuation)
        except StreamHistoryChangedError as error:
            self.changed = error if error.kept is not None else None
        except ResumableStreamError as error:
            logger.debug("stream %r is not continued here: %s", self._starting.stream_id, error)
