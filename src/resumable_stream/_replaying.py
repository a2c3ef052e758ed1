"""Reading a stream from the journal, and going on with its producer where that ends so far."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import TYPE_CHECKING

from resumable_stream._finding import Here
from resumable_stream._protocol.whereabouts import Elsewhere, Left, Over
from resumable_stream._reading.local import LocalReader
from resumable_stream.errors import (
    AccessDeniedError,
    BackendUnavailableError,
    InvalidEventIdError,
    OffsetOutOfRangeError,
    StreamHistoryChangedError,
)

if TYPE_CHECKING:
    from resumable_stream._finding import Finding
    from resumable_stream._protocol.places import Start
    from resumable_stream._protocol.sentinel import Outcome
    from resumable_stream._reading.replay import Replay
    from resumable_stream._reading.runs import RunReader
    from resumable_stream._shared import Shared
    from resumable_stream.errors import StreamError

logger = logging.getLogger("resumable_stream")

_PAUSE = 0.05


class Replaying:
    """Makes readers of the journal for one instance."""

    def __init__(self, shared: Shared, finding: Finding) -> None:
        self._shared = shared
        self._finding = finding
        self._loop = asyncio.get_running_loop()

    async def replay(self, stream_id: str, generation: int, start: Start) -> Replay | None:
        """Read a run from the journal, and what follows from its producer; None if it has none."""
        journal = self._shared.journal
        if journal is None:
            return None
        if start.event_id is not None and start.event_id.generation != generation:
            raise StreamHistoryChangedError(stream_id)
        # Imported here: most programs keep nothing.
        from resumable_stream._reading.replay import Replay  # noqa: PLC0415

        go_on = partial(self._following, stream_id, generation)
        reader = Replay(self._shared, journal, stream_id, generation, start, go_on)
        return reader if await reader.open() else None

    async def read_on(
        self, stream_id: str, generation: int, start: Start, why: StreamError
    ) -> Replay | None:
        """Read what the journal has for a reader to whom its producer gives no more text.

        Args:
            stream_id: which stream.
            generation: whose run.
            start: where the reader is.
            why: the producer is lost, or has dropped the text.

        Returns:
            None if nothing is there.
        """
        try:
            if isinstance(why, OffsetOutOfRangeError):
                return await self.replay(stream_id, generation, start)
            return await self._left(stream_id, generation, start)
        except (AccessDeniedError, OffsetOutOfRangeError) as error:
            logger.warning("stream %r: its journal is not read: %s", stream_id, error)
            return None

    async def _left(self, stream_id: str, generation: int, start: Start) -> Replay | None:
        """Read what is left of a run whose reader has lost its producer; None if nothing is."""
        match await self._finding.look_up(stream_id):
            case Left(run) if run.generation == generation:
                return await self.replay(stream_id, generation, start)
            case Over(outcome) if outcome and outcome.generation == generation:
                if outcome.kept_until:
                    return await self.replay(stream_id, generation, start)
        return None

    async def _following(
        self, stream_id: str, generation: int, start: Start, patience: float
    ) -> RunReader | Outcome | None:
        """Read on where a run's journal ends so far; its outcome or None if nobody has more.

        ``patience`` is for how many seconds the place may lie beyond what its producer has.
        """
        options, began = self._shared.options, self._loop.time()
        while True:
            try:
                match await self._finding.look_up(stream_id):
                    case Here(producer) if producer.generation == generation:
                        return LocalReader(producer, start, options.unit)
                    case Elsewhere(present) if present == generation:
                        return await self._finding.attached(stream_id, generation, start)
                    case Over(outcome) if outcome and outcome.generation == generation:
                        return outcome
                    case _:
                        return None
            except InvalidEventIdError:
                if self._loop.time() > began + patience:
                    raise
            except AccessDeniedError:
                raise
            except BackendUnavailableError:
                if self._loop.time() > began + options.outage_timeout:
                    raise
            await asyncio.sleep(_PAUSE)
