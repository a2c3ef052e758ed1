"""Read a stream that is produced elsewhere, in the dialect that its producer understands."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from resumable_stream._reading.attachment import Joined, Moved, Refused
from resumable_stream._reading.listener import Listener
from resumable_stream._reading.liveness import Liveness
from resumable_stream._reading.remote import RemoteReader
from resumable_stream._reading.v1_listener import V1Listener

if TYPE_CHECKING:
    from resumable_stream._protocol.places import Start
    from resumable_stream._reading.enrolment import Enrolments
    from resumable_stream._shared import Shared


async def attach(
    shared: Shared,
    enrolments: Enrolments,
    stream_id: str,
    generation: int | None,
    start: Start,
    *,
    ended: bool = False,
) -> RemoteReader | None:
    """Make a reader of one generation's text and attach it; None if the stream is no longer there.

    Args:
        shared: what the instance shares.
        enrolments: of the readers of the instance.
        stream_id: which stream.
        generation: whose text; None for a TypeScript peer's.
        start: where to begin.
        ended: the stream is over, and perhaps still served.

    Raises:
        ResumableStreamError: what the producer refused, or how the stream ended meanwhile.
        HandshakeTimeoutError: nobody answered.
        BackendError: the broker failed.
    """
    now = asyncio.get_running_loop().time()
    if generation is None:
        liveness = Liveness(shared.options, now, typescript=True)
        reader = RemoteReader(shared, stream_id, start, liveness, V1Listener)
    else:
        liveness = Liveness(shared.options, now, ended=ended)
        speak = partial(Listener, generation=generation, enrolments=enrolments)
        reader = RemoteReader(shared, stream_id, start, liveness, speak)
    match await reader.attach():
        case Joined():
            return reader
        case Refused(error):
            raise error
        case Moved():
            return None
