"""What a lost producer has left of its text, for a reader that was attached to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from resumable_stream._protocol.places import Start
    from resumable_stream._stream import Reader
    from resumable_stream.errors import ProducerLostError


class Fallback:
    """Looked for once the producer is lost, and read to its end.

    Args:
        find: gives a reader of it, from a place on; None if nothing is left.

    Attributes:
        taken: how many chunks were read from it.
    """

    __slots__ = ("_find", "_reader", "_sought", "taken")

    def __init__(self, find: Callable[[Start], Awaitable[Reader | None]]) -> None:
        self._find = find
        self._sought = False
        self._reader: Reader | None = None
        self.taken = 0

    async def next_run(self, start: Start, loss: ProducerLostError) -> list[str]:
        """Return the next chunks; raise as what is left ends, or the loss if nothing is.

        Args:
            start: where the reader is, when this is called first.
            loss: what the reader would be told without this.

        Raises:
            BackendError: it is not known what is left; ask again.
        """
        if not self._sought:
            self._reader = await self._find(start)
            self._sought = True
        if self._reader is None:
            raise loss
        run = await self._reader.next_run()
        self.taken += len(run)
        return run

    def close(self) -> None:
        if self._reader is not None:
            self._reader.close()

    async def aclose(self) -> None:
        if self._reader is not None:
            await self._reader.aclose()
