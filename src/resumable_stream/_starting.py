"""One call that starts a stream, or joins it, wherever it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from resumable_stream._stream import NotFound
from resumable_stream.errors import HandshakeTimeoutError, StreamHistoryChangedError

if TYPE_CHECKING:
    from resumable_stream._continuing import Continuation
    from resumable_stream._instance import Instance
    from resumable_stream._protocol.places import Start
    from resumable_stream._source import MakeStream
    from resumable_stream._stream import ResumableStream
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
        instance, stream_id, continuation = self.instance, self.stream_id, self.continuation
        deadline: float | None = None
        tries = 0
        while True:
            # A new run cannot continue the text that an event id belongs to.
            if start.event_id is None or await instance.is_lost(stream_id, start, continuation):
                begun = await instance.begin(
                    stream_id,
                    self.make_stream,
                    start,
                    self.on_end,
                    join=True,
                    continuation=continuation,
                )
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
            elif start.event_id is not None and not await instance.is_lost(
                stream_id, start, continuation
            ):
                raise StreamHistoryChangedError(stream_id)
            # It was taken, and is gone again: begin once more, unless that goes on and on.
            now, patience = instance.loop.time(), instance.shared.options.handshake_timeout
            if deadline is None:
                deadline = now + patience
            elif now > deadline:
                raise HandshakeTimeoutError(stream_id, start.offset, patience)
