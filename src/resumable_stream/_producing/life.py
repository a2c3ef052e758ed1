"""How far a producer is in its life, and what waits for it to get further."""

from __future__ import annotations

import asyncio
from enum import IntEnum


class Stage(IntEnum):
    """What a producer does. A stage may be skipped, and none comes back.

    ========= ============================================= ===================================
    Stage     What the producer does                        What follows
    ========= ============================================= ===================================
    LISTENING hears requests, while its claim is taken      RUNNING, or RELEASED if it is lost
    RUNNING   drives its source, keeps its lease, and       TELLING, once the source is closed
              serves listeners
    TELLING   calls ``on_end``                              RECORDING
    RECORDING records the end                               SERVING
    SERVING   serves listeners what they have not got       DRAINED, once they have got the end,
                                                            or PARTING, if the text is erased
    DRAINED   serves who comes late, for the grace          PARTING, or RELEASED without a grace
    PARTING   serves the last of those                      RELEASED
    CUT_OFF   nothing: its event loop ends, or its task     RELEASED, if its context is closed
              was cancelled from outside twice
    RELEASED  nothing, and holds nothing
    ========= ============================================= ===================================

    From each stage after the first, what is left may be done at once, which leads to RELEASED: when
    the context is closed, or when the producer's task is cancelled from outside. If there is no
    time for that, CUT_OFF follows.
    """

    LISTENING = 1
    RUNNING = 2
    TELLING = 3
    RECORDING = 4
    SERVING = 5
    DRAINED = 6
    PARTING = 7
    CUT_OFF = 8
    RELEASED = 9


class Life:
    """The stage a producer is in, and futures that are done once it has come to another.

    The futures never raise.

    Attributes:
        stage: the present one.
    """

    # A future is made when somebody asks for it: most streams have one at most.
    __slots__ = ("_awaited", "stage")

    def __init__(self) -> None:
        self.stage = Stage.LISTENING
        self._awaited: tuple[tuple[Stage, asyncio.Future[None]], ...] = ()

    @property
    def stored(self) -> asyncio.Future[None]:
        """Done from RECORDING on: ``on_end`` has been called, if there is one.

        Only now may anybody be told that the stream is over.
        """
        return self._until(Stage.RECORDING)

    @property
    def settled(self) -> asyncio.Future[None]:
        """Done from SERVING on: the end is recorded, or cannot be."""
        return self._until(Stage.SERVING)

    @property
    def drained(self) -> asyncio.Future[None]:
        """Done from DRAINED on: nobody waits for anything more of the stream."""
        return self._until(Stage.DRAINED)

    def reach(self, stage: Stage) -> None:
        """Go on to a stage, unless it is past; let what waits for it, or for one before, go on."""
        self.stage = max(self.stage, stage)
        for milestone, future in self._awaited:
            if stage >= milestone and not future.done():
                future.set_result(None)

    def _until(self, milestone: Stage) -> asyncio.Future[None]:
        for known, future in self._awaited:
            if known is milestone:
                return future
        made: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self.stage >= milestone:
            made.set_result(None)
        self._awaited += ((milestone, made),)
        return made
