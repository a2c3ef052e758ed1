"""The context: start, join, resume, ask about and stop streams on one backend."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Literal, Self, SupportsIndex, final

from resumable_stream._arguments import (
    check_drain_timeout,
    check_id,
    check_on_end,
    check_wait,
    start_at,
)
from resumable_stream._asking import cancel, status
from resumable_stream._binding import Binding
from resumable_stream._continuing import Continue, check_continuation
from resumable_stream._deleting import delete
from resumable_stream._instance import Instance
from resumable_stream._source import check_source
from resumable_stream._starting import Starting
from resumable_stream._status import StreamState, status_of
from resumable_stream._text.endings import Status
from resumable_stream.errors import StreamExistsError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import TracebackType

    from resumable_stream._journals import JournalSource
    from resumable_stream._options import Options
    from resumable_stream._protocol.names import Names
    from resumable_stream._source import MakeStream
    from resumable_stream._status import CancelResult, DeleteResult, StreamStatus
    from resumable_stream._stream import NotFound, ResumableStream
    from resumable_stream._stream_end import OnEnd
    from resumable_stream.ports import Backend


@final
class ResumableStreamContext:
    """One instance's access to the streams on a backend.

    Made by ``create_resumable_stream_context``. It binds itself to the event loop of its first use;
    after that loop is closed, to the next. Once closed it takes no more calls in this event loop
    until it is entered again, by ``async with``; it then begins afresh, as it does in another loop.
    Every coroutine here is safe to cancel: nothing but a lease that soon runs out stays behind.
    Every call may also raise ``ContextClosedError``, and ``WrongEventLoopError`` outside the
    context's own event loop.
    """

    def __init__(
        self,
        names: Names,
        options: Options,
        open_backend: Callable[[], Backend],
        *,
        owns_backend: bool,
        journals: JournalSource,
        wait_until: Callable[[Awaitable[None]], object] | None = None,
        on_end: OnEnd | None = None,
    ) -> None:
        self._options = options
        self._on_end = on_end
        self._binding = Binding(
            open_backend,
            lambda backend: Instance(backend, names, options, wait_until, journals),
            owns_backend=owns_backend,
        )

    async def resumable_stream(
        self,
        stream_id: str,
        make_stream: MakeStream,
        skip_characters: SupportsIndex | None = None,
        *,
        last_event_id: str | None = None,
        on_end: OnEnd | None = None,
        replay: bool = True,
        continue_lost: Continue | None = None,
        continue_at_most: int = 10,
    ) -> ResumableStream | None:
        """Start the stream, or join it if it runs already, here or on any other instance.

        Args:
            stream_id: the stream's name, 1 to 512 characters.
            make_stream: an async generator function, or any callable that returns an async iterable
                of str, or an awaitable of one. Called once per stream, however many start it.
            skip_characters: the offset to read from, in the context's offset unit. One beyond the
                present end waits for the text to come so far.
            last_event_id: a stream's ``last_event_id``; it takes precedence over the offset.
            on_end: called once, in this process, if this call starts the stream: with its
                ``StreamEnd``, when the source is closed, and before anybody can learn elsewhere
                that the stream is over. A function, or an async one, which is cancelled after 10
                seconds; what it raises is logged. The context's ``on_end`` if None.
            replay: give a stream that is over from the journal, if it is kept there.
            continue_lost: called, instead of ``make_stream``, if the stream's producer was lost
                (killed, or closed before its end) and its text is in the journal: with a ``SoFar``,
                for what follows that. Offsets and event ids go on. So does the returned stream, if
                its producer is lost while it is read. The context needs a durability.
            continue_at_most: how many producers one stream may lose until it stays lost.

        Returns:
            The stream from there on; None if it has completed and is not kept. For the context's
            ``grace`` after its end it is still there for callers that name a place, by an event id
            or an offset.

        Raises:
            StreamFailedError, StreamCancelledError, ProducerLostError: it is over, and so it ended.
            OffsetOutOfRangeError: the text at the offset is no longer buffered.
            StreamHistoryChangedError: the event id belongs to an earlier run.
            HandshakeTimeoutError: it is marked active, but its producer does not answer; with
                ``continue_lost``, only if that is so for longer than a lease.
            BackendUnavailableError: the broker is away.
            InvalidArgumentError, InvalidSourceError: an invalid argument: the message names the
                value and what to pass instead.
        """
        check_id(stream_id)
        check_source(make_stream)
        check_on_end(on_end)
        continuation = check_continuation(continue_lost, continue_at_most, self._options)
        start = start_at(skip_characters, last_event_id)
        starting = Starting(
            self._binding.get(),
            stream_id,
            make_stream,
            on_end or self._on_end,
            replay,
            continuation,
        )
        return await starting.stream(start)

    async def create_new_resumable_stream(
        self,
        stream_id: str,
        make_stream: MakeStream,
        skip_characters: SupportsIndex | None = None,
        *,
        on_end: OnEnd | None = None,
    ) -> ResumableStream:
        """Start a stream whose id nobody has used, and read it from the offset on.

        Arguments and errors as for ``resumable_stream``.

        Raises:
            StreamExistsError: the id is taken, by a running stream or one that is remembered.
        """
        check_id(stream_id)
        check_source(make_stream)
        check_on_end(on_end)
        start = start_at(skip_characters, None)
        instance = self._binding.get()
        begun = await instance.begin(
            stream_id, make_stream, start, on_end or self._on_end, join=False
        )
        if begun is not None:
            return begun
        raise StreamExistsError(
            stream_id,
            f"stream id {stream_id!r} is taken: use a fresh one, such as str(uuid.uuid4()), "
            "or join it with resumable_stream",
        )

    async def resume_existing_stream(
        self,
        stream_id: str,
        skip_characters: SupportsIndex | None = None,
        *,
        last_event_id: str | None = None,
        replay: bool = True,
        wait: float = 0.0,
    ) -> ResumableStream | NotFound | None:
        """Read a running stream from the offset or event id on.

        Arguments as for ``resumable_stream``. A stream that has not begun, anywhere, is waited for
        up to ``wait`` seconds: it is looked for once a second, and found at once if it begins in
        this context. A broker that is away is waited for as long, and so is, whenever the
        producer is lost, another one that continues the stream.

        Returns:
            The stream; None if it has completed, as for ``resumable_stream``; ``NOT_FOUND`` (falsy,
            equal to ``"NOT_FOUND"``) if the id is unknown.

        Raises:
            As ``resumable_stream`` does.
        """
        check_id(stream_id)
        check_wait(wait)
        start, instance = start_at(skip_characters, last_event_id), self._binding.get()
        if not wait:
            return await instance.joining.join(stream_id, start, replay=replay)
        return await instance.expecting.join(stream_id, start, wait, replay=replay)

    async def has_existing_stream(self, stream_id: str) -> Literal["DONE", True] | None:
        """Tell whether the stream runs (True), is over (``"DONE"``), or is unknown (None).

        Raises:
            BackendUnavailableError: the broker is away.
        """
        match (await self.stream_status(stream_id)).state:
            case StreamState.NOT_FOUND:
                return None
            case StreamState.ACTIVE:
                return True
            case _:
                return "DONE"

    async def stream_status(self, stream_id: str) -> StreamStatus:
        """Tell what has become of the stream.

        Raises:
            BackendUnavailableError: the broker is away, and the stream is not produced here; or the
                journal is, and only that knows how the stream of a dead producer has ended.
        """
        check_id(stream_id)
        return await status(self._binding.get(), stream_id)

    async def wait_for_end(self, stream_id: str) -> StreamStatus:
        """Wait until a stream that this context produces is over; return what became of it.

        For workers that produce and leave: once it returns, the end is recorded, ``on_end`` has
        been called, and readers elsewhere have got the text. For a stream that is not produced here
        it returns at once. Cancelling it does not stop the stream.

        Raises:
            BackendUnavailableError: as ``stream_status`` does.
        """
        check_id(stream_id)
        producer = self._binding.get().local(stream_id)
        if producer is not None:
            await asyncio.wait({producer.life.drained})
            ending = producer.log.ending
            if ending is not None and ending.status is not Status.SUPERSEDED:
                return status_of(ending, producer.generation, producer.kept_until)
        return await self.stream_status(stream_id)

    async def cancel_stream(self, stream_id: str) -> CancelResult:
        """Stop the stream, wherever it is produced, and wait until its source is closed.

        Every reader gets ``StreamCancelledError``. The request is repeated until the producer has
        acknowledged it or is found to be gone.

        Raises:
            BackendUnavailableError: the broker is away, and the stream is not produced here.
        """
        check_id(stream_id)
        return await cancel(self._binding.get(), stream_id)

    async def delete_stream(self, stream_id: str) -> DeleteResult:
        """Erase a stream that is over: its text in the journal, its ending, and that it was there.

        Its id is free once this returns, some two seconds later. A stream that still runs is left
        as it is: cancel it first.

        Raises:
            BackendUnavailableError: the broker or the journal is away; try again.
        """
        check_id(stream_id)
        return await delete(self._binding.get(), stream_id)

    async def aclose(self, drain_timeout: float | None = None) -> None:
        """Leave in order: let running producers finish for a while, then end them truthfully.

        Readers of a producer that did not finish in time get ``ProducerLostError``. Readers that
        this context has elsewhere end with ``ContextClosedError``. Idempotent; the context takes no
        new streams from the call on. Cancelling it ends the draining, not the ending.

        Args:
            drain_timeout: seconds to wait for producers; the context's ``drain_timeout`` if None.

        Raises:
            InvalidArgumentError: ``drain_timeout`` is no number of seconds; nothing is closed.
        """
        check_drain_timeout(drain_timeout)
        await self._binding.close(
            self._options.drain_timeout if drain_timeout is None else drain_timeout
        )

    async def __aenter__(self) -> Self:
        self._binding.reopen()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()
