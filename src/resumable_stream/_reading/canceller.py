"""Stop a stream that another instance produces."""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING

from resumable_stream._protocol.sentinel import Absence, ending_of, read_outcome, read_state
from resumable_stream._protocol.wire import (
    EndFrame,
    MalformedFrameError,
    Request,
    RequestType,
    decode_frame,
)
from resumable_stream._text.endings import Status

if TYPE_CHECKING:
    from resumable_stream._protocol.sentinel import State
    from resumable_stream._shared import Shared
    from resumable_stream.ports import Loss

_FIRST_PAUSE = 0.1
_MAX_PAUSE = 1.0


async def cancel_remotely(shared: Shared, stream_id: str) -> Status | Absence | None:
    """Ask until the stream's end is known; return its status, or None if nobody answers.

    A stream that nobody produces any more is told by its absence.

    A single request could fall between the producer's claim and its subscription.
    """
    backend, names = shared.backend, shared.names
    state = await read_state(backend, names, stream_id)
    if state is Absence.MISSING:
        return state
    if state is Absence.DONE:
        return state
    if state.generation is None:
        return None  # a TypeScript producer takes no such request
    told = await _ask(shared, stream_id, state.generation)
    if isinstance(told, Status):
        return told
    if told is not Absence.DONE:
        return None  # it was silent, or its lease has run out
    return ending_of(await read_outcome(backend, names, stream_id)).status


async def _ask(shared: Shared, stream_id: str, generation: int) -> Status | State:
    """Ask until an answer comes, the stream is over, or nobody can be there to answer.

    Only the generation that the sentinel names can answer.
    """
    backend, names, loop = shared.backend, shared.names, asyncio.get_running_loop()
    listener_id = secrets.token_hex(16)
    told: asyncio.Future[Status] = loop.create_future()

    def on_message(message: bytes) -> None:
        try:
            frame = decode_frame(listener_id, message)
        except MalformedFrameError:
            return  # asked again
        if (
            isinstance(frame, EndFrame)
            and frame.generation == generation
            and frame.ending.status is not Status.SUPERSEDED  # which ends a run, not the stream
            and not told.done()
        ):
            told.set_result(frame.ending.status)

    def on_loss(_: Loss) -> None:
        """The request is repeated anyway."""

    request = Request(listener_id, type=RequestType.CANCEL)
    subscription = await backend.subscribe(names.chunk(listener_id), on_message, on_loss)
    deadline, pause = loop.time() + shared.options.cancel_timeout, _FIRST_PAUSE
    try:
        while True:
            await shared.ask(stream_id, request)
            await asyncio.wait({told}, timeout=pause)
            if told.done():
                return told.result()
            pause = min(_MAX_PAUSE, pause * 2)
            state = await read_state(backend, names, stream_id)
            if isinstance(state, Absence) or loop.time() > deadline:
                return state
            generation = state.generation or generation
    finally:
        await subscription.aclose()
