"""How the end of a stream becomes known: to its owner first, then to every instance."""

from __future__ import annotations

import asyncio
import logging
import math
from typing import TYPE_CHECKING

from resumable_stream._backoff import Backoff
from resumable_stream._loops import is_ending
from resumable_stream._producing.claim import SupersededError
from resumable_stream._protocol import sentinel
from resumable_stream._protocol.wire import EndFrame
from resumable_stream._stream_end import StreamEnd, tell_owner
from resumable_stream._text.endings import Ending, Status
from resumable_stream.errors import BackendError

if TYPE_CHECKING:
    from resumable_stream._options import Options
    from resumable_stream._producing.claim import Claim
    from resumable_stream._stream_end import OnEnd
    from resumable_stream._text.log import Log

logger = logging.getLogger("resumable_stream")

_FIRST_PAUSE = 0.05
# How long a look at the claim may delay ``on_end``.
_LOOK_TIMEOUT = 1.0


class Recording:
    """Tells and records how a stream has ended, which its log says by then.

    Attributes:
        on_end: what the owner is told with, if at all.
        end: what listeners are told, once it may be told.
        kept_until: until when the journal has all of the text, in Unix time; 0 if it has not.
    """

    __slots__ = ("_claim", "_log", "_options", "_stream_id", "end", "kept_until", "on_end")

    def __init__(self, stream_id: str, claim: Claim, log: Log, options: Options) -> None:
        self._stream_id = stream_id
        self._claim = claim
        self._log = log
        self._options = options
        self.on_end: OnEnd | None = None
        self.end: EndFrame | None = None
        self.kept_until = 0

    async def checked_ending(self) -> Ending:
        """Return what to tell the owner: the ending, or superseded if another holds the stream.

        Without an ``on_end``, the broker is not asked.
        """
        ending = self._ending
        if self.on_end is not None and ending.status is not Status.SUPERSEDED:
            try:
                async with asyncio.timeout(_LOOK_TIMEOUT):
                    await self._claim.renew()
            except SupersededError:
                return Ending(Status.SUPERSEDED)
            except (BackendError, TimeoutError) as error:
                logger.debug("stream %r: its claim is not checked: %r", self._stream_id, error)
        return ending

    async def tell_owner(self, ending: Ending, patience: float) -> None:
        """Call ``on_end``, if there is one, and wait for it, ``patience`` seconds at most."""
        if self.on_end is not None:
            end = StreamEnd(self._stream_id, self._claim.generation, ending, self._log)
            await tell_owner(self.on_end, end, patience)

    async def record(self, patience: float) -> EndFrame:
        """Record the end where every instance finds it, for as long as the broker may be away.

        Return what listeners are to be told: that, or ``superseded`` if another generation holds
        the stream.
        """
        ending = self._ending
        if not self._options.disclose_errors:
            ending = ending._replace(error_type=None, error_message=None)
        if ending.status is not Status.SUPERSEDED:
            ending = await self._recorded(ending, patience)
        generation = self._claim.generation
        logger.info(
            "stream %r: generation %d ended: %s", self._stream_id, generation, ending.status
        )
        self.end = EndFrame(generation, self._log.end, ending)
        return self.end

    @property
    def _ending(self) -> Ending:
        ending = self._log.ending
        assert ending is not None  # noqa: S101 - for the type checker
        return ending

    async def _recorded(self, ending: Ending, patience: float) -> Ending:
        grace = self._options.grace_period
        served_until = math.ceil(sentinel.wall_clock() + grace) if grace else 0
        loop = asyncio.get_running_loop()
        deadline, backoff = loop.time() + patience, Backoff(_FIRST_PAUSE)
        while True:
            try:
                await self._claim.finish(self._log.end, ending, served_until, self.kept_until)
            except SupersededError:
                logger.warning("stream %r: ended, but was superseded", self._stream_id)
                return Ending(Status.SUPERSEDED)
            except BackendError as error:
                if is_ending(loop):
                    # The backend's tasks are cancelled, too. That streams are lost has been said.
                    logger.debug("stream %r: its end is not recorded: %s", self._stream_id, error)
                    return ending
                if loop.time() + backoff.upcoming > deadline:
                    logger.error(  # noqa: TRY400 - a traceback tells no more
                        "stream %r: its end could not be recorded: %s", self._stream_id, error
                    )
                    return ending
                await asyncio.sleep(backoff.next())
            else:
                return ending
