"""What becomes of the text of a dead producer, once somebody has claimed its stream."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING

from resumable_stream._continuing import kept_of
from resumable_stream._producing.burial import bury, left_behind
from resumable_stream._producing.claim import SupersededError
from resumable_stream._producing.journal_log import ForeignRecordError
from resumable_stream._producing.journal_writer import NotKeptError

if TYPE_CHECKING:
    from resumable_stream._continuing import Continuation
    from resumable_stream._producing.claim import Claim
    from resumable_stream._producing.producer import Producer
    from resumable_stream._replaying import Replaying
    from resumable_stream._shared import Shared
    from resumable_stream._source import MakeStream
    from resumable_stream.journal import Journal

logger = logging.getLogger("resumable_stream")


async def succeed(
    claim: Claim,
    producer: Producer,
    make_stream: MakeStream,
    continuation: Continuation | None,
    shared: Shared,
    journal: Journal,
    replaying: Replaying,
) -> MakeStream | None:
    """Return what to run under a claim that was won; None if nothing is.

    If a dead producer has left text, the stream is over, as that one's log says, or goes on.

    Raises:
        BackendError: the broker or the journal is away; nothing is lost by trying again.
    """
    stream_id = producer.stream_id
    left = await left_behind(stream_id, claim, shared, journal)
    if left is None:
        return make_stream
    if continuation is not None and continuation.takes(left):
        so_far = await kept_of(replaying, stream_id, left, shared.options.buffer_limit)
        if so_far is not None:
            try:
                await producer.adopt(so_far.chunks, left)
            except NotKeptError as error:
                logger.warning("stream %r: not continued: %s", stream_id, error)
            except (ForeignRecordError, SupersededError):
                return None
            else:
                return partial(continuation.more, so_far)
    await bury(claim, left)
    return None
