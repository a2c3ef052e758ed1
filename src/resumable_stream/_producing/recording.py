"""Record how a stream ended, for as long as the broker may be away."""

from __future__ import annotations

import asyncio
import logging
import math
from typing import TYPE_CHECKING

from resumable_stream._backoff import Backoff
from resumable_stream._loops import is_ending
from resumable_stream._producing.claim import SupersededError
from resumable_stream._protocol import sentinel
from resumable_stream._text.endings import Ending, Status
from resumable_stream.errors import BackendError

if TYPE_CHECKING:
    from resumable_stream._options import Options
    from resumable_stream._producing.claim import Claim

logger = logging.getLogger("resumable_stream")

_FIRST_PAUSE = 0.05


async def record_end(
    stream_id: str, claim: Claim, end: int, ending: Ending, options: Options, patience: float
) -> Ending:
    """Record that the stream ended after ``end`` chunks; return what listeners are to be told.

    That is the ending itself, or ``superseded`` if another generation holds the stream.
    """
    grace = options.grace_period
    served_until = math.ceil(sentinel.wall_clock() + grace) if grace else 0
    clock = asyncio.get_running_loop().time
    deadline, backoff = clock() + patience, Backoff(_FIRST_PAUSE)
    while True:
        try:
            await claim.finish(end, ending, served_until)
        except SupersededError:
            logger.warning("stream %r: ended, but was superseded", stream_id)
            return Ending(Status.SUPERSEDED)
        except BackendError as error:
            if is_ending(asyncio.get_running_loop()):
                # The backend's tasks are cancelled, too. That streams are lost has been said.
                logger.debug("stream %r: its end is not recorded: %s", stream_id, error)
                return ending
            if clock() + backoff.upcoming > deadline:
                logger.error(  # noqa: TRY400 - a traceback tells no more
                    "stream %r: its end could not be recorded: %s", stream_id, error
                )
                return ending
            await asyncio.sleep(backoff.next())
        else:
            return ending
