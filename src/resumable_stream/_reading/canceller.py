"""Stop a stream that another instance produces."""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING

from resumable_stream._backoff import Backoff
from resumable_stream._protocol.whereabouts import Elsewhere, Over, look_up
from resumable_stream._protocol.wire import (
    EndFrame,
    MalformedFrameError,
    Request,
    RequestType,
    decode_frame,
)
from resumable_stream._text.endings import Status

if TYPE_CHECKING:
    from resumable_stream._shared import Shared
    from resumable_stream.ports import Loss

_FIRST_PAUSE = 0.1


async def cancel_elsewhere(shared: Shared, stream_id: str, generation: int | None) -> Status | None:
    """Ask the producer to stop until the stream's end is known, or nobody can be there to answer.

    The request is repeated: a single one could fall between the producer's claim and its
    subscription. Only the generation that the sentinel names can answer.

    Returns:
        How the stream ended; None if nobody answered.
    """
    if generation is None:
        return None  # a TypeScript producer takes no such request
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
    deadline, backoff = loop.time() + shared.options.cancel_timeout, Backoff(_FIRST_PAUSE)
    try:
        while True:
            await shared.ask(stream_id, request)
            await asyncio.wait({told}, timeout=backoff.next())
            if told.done():
                return told.result()
            match await look_up(backend, names, stream_id):
                case Over() as over:
                    return over.ending.status
                case Elsewhere(now) if loop.time() <= deadline:
                    generation = now or generation
                case _:
                    return None  # it was silent, or its lease has run out
    finally:
        await subscription.aclose()
