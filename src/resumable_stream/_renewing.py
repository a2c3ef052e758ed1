"""Renewals of keys that fall due together, by one call of the backend."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from resumable_stream.errors import BackendError
from resumable_stream.ports import Renewals

if TYPE_CHECKING:
    from collections.abc import Callable

    from resumable_stream._loops import Background
    from resumable_stream.ports import Backend

logger = logging.getLogger("resumable_stream")

# The keys of one call. A broker serves nobody else while it renews them: some tenths of a
# millisecond.
_MOST = 256


class _Due(NamedTuple):
    key: str
    value: str
    tell: Callable[[float | None], object]


class Renewer:
    """Renews keys of one instance; those that fall due in one turn of the event loop go together.

    A call is made for each turn, whatever has become of those before. So a call that takes long
    holds up only the keys in it, and those for no longer than a call may take.

    Args:
        backend: where the keys are. If it cannot renew many at once, nothing is renewed here.
        ttl: the new time to live.
        background: holds the tasks.
    """

    def __init__(self, backend: Backend, ttl: int, background: Background) -> None:
        self._backend = backend if isinstance(backend, Renewals) else None
        self._ttl = ttl
        self._background = background
        self._due: list[_Due] | None = None  # of the call that has not begun yet

    def renew(self, key: str, value: str, tell: Callable[[float | None], object]) -> None:
        """Renew the key if it holds this value.

        ``tell`` is called with the time before the call was sent, by the event loop's clock. It is
        called with None if the key was not renewed, or that is not known: writing it alone tells.
        """
        if self._backend is None:
            tell(None)
            return
        if self._due is None or len(self._due) == _MOST:
            self._due = self._begin()
        self._due.append(_Due(key, value, tell))

    def _begin(self) -> list[_Due]:
        """Begin a call; return the list of its keys, which is open until the task's first step."""
        due: list[_Due] = []
        renewed: list[bool] = []
        sent = asyncio.get_running_loop().time()
        # The task is made at once: one that is made later could escape the end of the event loop.
        task = self._background.start(self._call(due, renewed), "resumable-stream leases")
        task.add_done_callback(partial(self._answered, due, renewed, sent))
        return due

    async def _call(self, due: list[_Due], renewed: list[bool]) -> None:
        self._close(due)
        if self._backend is not None:
            entries = [(key, value) for key, value, _ in due]
            renewed += await self._backend.renew_many(entries, ttl=self._ttl)

    def _close(self, due: list[_Due]) -> None:
        if self._due is due:
            self._due = None

    def _answered(
        self, due: list[_Due], renewed: list[bool], sent: float, task: asyncio.Task[None]
    ) -> None:
        """Tell what came of a call, also if it was cancelled before its first step."""
        self._close(due)
        if task.cancelled():
            if self._background.is_ending():
                return  # the streams' own tasks are cancelled, too
        elif isinstance(error := task.exception(), BackendError):
            logger.debug("%d leases not renewed together: %s", len(due), error)
        elif error is not None:
            logger.error("renewing %d leases together failed", len(due), exc_info=error)
        if len(renewed) != len(due):
            renewed = [False] * len(due)
        for (_, _, tell), held in zip(due, renewed, strict=True):
            tell(sent if held else None)
