"""What becomes of the text of a dead producer, once somebody has claimed its stream."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import TYPE_CHECKING

from resumable_stream._continuing import kept_of
from resumable_stream._producing.burial import bury, left_behind
from resumable_stream._producing.claim import SupersededError
from resumable_stream._producing.journal_log import ForeignRecordError
from resumable_stream._producing.journal_writer import NotKeptError
from resumable_stream.errors import BackendError

if TYPE_CHECKING:
    from resumable_stream._continuing import Continuation
    from resumable_stream._producing.claim import Claim
    from resumable_stream._producing.producer import Producer
    from resumable_stream._protocol.sentinel import Outcome
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
    The claim is kept meanwhile, however long the journal takes.

    Raises:
        BackendError: the broker or the journal is away; nothing is lost by trying again.
    """
    keeping = shared.background.start(
        _keep(claim, shared.options.renew_interval),
        f"resumable-stream claim {producer.stream_id!r}",
    )
    try:
        left = await left_behind(producer.stream_id, claim, shared, journal)
        source: MakeStream | None = make_stream
        if left is not None:
            limit = shared.options.buffer_limit
            source = await _rest_of(left, claim, producer, continuation, replaying, limit)
        if source is not None and not claim.held:
            await claim.renew()
    except SupersededError:
        return None
    finally:
        keeping.cancel()
    return source


async def _rest_of(
    left: Outcome,
    claim: Claim,
    producer: Producer,
    continuation: Continuation | None,
    replaying: Replaying,
    limit: int,
) -> MakeStream | None:
    """Return what gives the rest of a text that was left; None if its end is recorded instead."""
    if continuation is not None and continuation.takes(left):
        so_far = await kept_of(replaying, producer.stream_id, left, limit)
        if so_far is not None:
            try:
                await producer.adopt(so_far.chunks, left)
            except NotKeptError as error:
                logger.warning("stream %r: not continued: %s", producer.stream_id, error)
            except ForeignRecordError:
                return None
            else:
                return partial(continuation.more, so_far)
    await bury(claim, left)
    return None


async def _keep(claim: Claim, interval: float) -> None:
    """Renew a claim until somebody else has it."""
    while True:
        await asyncio.sleep(interval)
        try:
            await claim.renew()
        except SupersededError:
            return
        except BackendError as error:
            logger.debug("a claim is not renewed: %s", error)
