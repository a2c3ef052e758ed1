"""The body of a response: a stream's chunks as events, comments during silence, its ending."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self, final

from resumable_stream.errors import InvalidSettingError, ResumableStreamError
from resumable_stream.sse._block import encode_last, encode_run
from resumable_stream.sse._format import TEXT, EventFormat, details_of
from resumable_stream.sse._silence import Silence

if TYPE_CHECKING:
    from resumable_stream import ResumableStream
    from resumable_stream.sse._shutdown import ServerWatch

logger = logging.getLogger("resumable_stream")

END_ID = "end"
"""The id of a stream's last event: a client that sends it back has received the ending."""

_HEARTBEAT = b":\n\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How streams are sent; see ``sse_reply``."""

    chunks: EventFormat = TEXT
    heartbeat: float = 15.0
    retry: float = 1.0
    disclose_errors: bool = False

    def __post_init__(self) -> None:
        if not self.heartbeat > 0:
            raise InvalidSettingError(f"heartbeat {self.heartbeat} s must be more than 0")
        if not 0 <= self.retry < float("inf"):
            raise InvalidSettingError(f"retry {self.retry} s must be 0 or more")


@final
class SseBody:
    """An async iterator of bytes: blocks of whole events.

    A block has all events that are ready, of some 64 Ki characters of text at most; a larger chunk
    has a block of its own. Nothing is held back: an event that is ready alone is a block at once.

    It ends after the event with the stream's ending. It ends without that event, as if cut, if the
    stream goes on but this process can no longer read it, or the server is being stopped: the
    client should come back (a format may say so, ``EventFormat.interrupted``). The iterator raises
    no errors of its own.

    Cancelling a wait for the next block leaves the stream; frameworks do so when a client has gone.
    Otherwise call ``aclose`` or ``close``. Dropping the body leaves the stream, too, but later.
    """

    def __init__(
        self,
        stream: ResumableStream | None,
        settings: Settings,
        error: ResumableStreamError | None = None,
        server: ServerWatch | None = None,
    ) -> None:
        self._stream = stream
        self._settings = settings
        self._begun = False
        self._ended = False
        self._interrupted = False
        self._error = error
        self._silence = Silence(settings.heartbeat)
        self._server = server  # the watch lives as long as somebody holds it
        if server is not None:
            server.add(self)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if self._ended:
            raise StopAsyncIteration
        if not self._begun:
            # Sent at once, so that the headers reach the client before the first text.
            self._begun = True
            return f"retry: {round(self._settings.retry * 1000)}\n\n".encode()
        if self._stream is None:
            return self._ending(self._error)
        if self._interrupted:
            return self._cut()
        try:
            with self._silence:
                run = await anext(self._stream.runs())
        except TimeoutError:
            return _HEARTBEAT
        except asyncio.CancelledError:
            self.close()
            raise
        except StopAsyncIteration:
            return self._ending(None)
        except ResumableStreamError as error:
            return self._ending(error)
        return encode_run(self._settings.chunks, self._stream.last_event_id, run)

    def interrupt(self) -> bool:
        """End although the stream goes on: the client should come back to another process.

        Return whether there was anything to end.
        """
        if self._ended or self._stream is None:
            return False
        self._interrupted = True
        self._stream.close()
        return True

    async def aclose(self) -> None:
        """Leave the stream, which goes on without this reader. Idempotent."""
        self._end()
        if self._stream is not None:
            await self._stream.aclose()

    def close(self) -> None:
        """Leave the stream soon, without waiting for it; may be called in any thread."""
        self._ended = True
        if self._stream is not None:
            self._stream.close()

    def _ending(self, error: ResumableStreamError | None) -> bytes:
        if self._ended:
            # This body was closed while it was read, which looks like the stream's end.
            raise StopAsyncIteration
        if error is None and self._interrupted:
            return self._cut()
        self._end()
        chunks = self._settings.chunks
        if error is None:
            return encode_last(chunks.done(), END_ID)
        details = details_of(error, disclose=self._settings.disclose_errors)
        if details is None:
            logger.warning("a client is told to come back: %s", error)
            return self._cut()
        return encode_last(chunks.error(details), END_ID)

    def _cut(self) -> bytes:
        self._end()
        if not (last := self._settings.chunks.interrupted()):
            raise StopAsyncIteration
        return encode_last(last, None)

    def _end(self) -> None:
        self._ended = True
        self._silence.stop()
