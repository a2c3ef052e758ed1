"""A request that waits for its stream to begin: it ends when nobody is there for the answer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

# Most requests have their stream sooner, and need not be watched.
_SOON = 0.5


class Attaching:
    """``async with`` cancels its own block once ``interrupt`` is called.

    What follows the block is then run next, as if the block had raised nothing.

    Args:
        watch: called if the block takes long, to see to it that ``interrupt`` is called.
    """

    def __init__(self, watch: Callable[[Attaching], object]) -> None:
        self._watch = watch
        self._limit = asyncio.timeout(None)

    async def __aenter__(self) -> Self:
        await self._limit.__aenter__()
        self._timer = asyncio.get_running_loop().call_later(_SOON, self._watch, self)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        self._timer.cancel()
        try:
            await self._limit.__aexit__(kind, error, traceback)
        except TimeoutError:
            return True
        return False

    def interrupt(self) -> bool:
        """End the block now; return whether there was anything to end."""
        self._limit.reschedule(asyncio.get_running_loop().time())
        return True
