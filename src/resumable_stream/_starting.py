"""One call that starts a stream, or joins it, wherever it is."""

from __future__ import annotations

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

# How often a caller tries to continue a stream that stays lost.
_MOST_TRIES = 3


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
            try:
                begun = await self._begun(start, self.continuation)
            except StreamHistoryChangedError as error:
                if error.kept is None:
                    return None
                raise
            except ResumableStreamError:
                return None
            if begun is not None:
                return take_reader(begun)
            found = await next_run(self.stream_id, reader)  # another caller was faster
        return found

    async def _found(self, start: Start) -> ResumableStream | None:
        instance, stream_id, continuation = self.instance, self.stream_id, self.continuation
        deadline: float | None = None
        tries = 0
        while True:
            begun = await self._begun(start, continuation)
            if begun is not None:
                return begun
            joined = await instance.joining.join(
                stream_id, start, replay=self.replay, continuation=continuation
            )
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

    async def _begun(
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
