"""What a backend has on one event loop."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from resumable_stream.adapter_kit._errors import closed, ending
from resumable_stream.errors import WrongEventLoopError

if TYPE_CHECKING:
    from collections.abc import Callable


class Parts(Protocol):
    """The parts of a backend that belong to one event loop."""

    @property
    def cut_off(self) -> bool:
        """The event loop is being shut down, and has cancelled a task of theirs."""
        ...


P = TypeVar("P", bound=Parts)


class LoopBound(Generic[P]):
    """Makes a backend's parts at its first call, and keeps the backend to that event loop.

    Once that loop is closed, the next call makes new parts on its own loop: the old ones went with
    their loop.

    Args:
        backend: what users call the backend, for messages.
        make: makes the parts; called while the event loop runs.

    Attributes:
        parts: the present parts; None before the first call, and once closed.
    """

    def __init__(self, backend: str, make: Callable[[], P]) -> None:
        self.parts: P | None = None
        self._backend = backend
        self._make = make
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False

    def get(self) -> P:
        """Return the parts on the running event loop.

        Raises:
            BackendUnavailableError: the backend was closed, or the event loop is being shut down.
            WrongEventLoopError: the backend is in use by another event loop that is not closed.
        """
        if self._closed:
            raise closed(self._backend)
        loop, parts = asyncio.get_running_loop(), self.parts
        if parts is not None and self._loop is loop:
            if parts.cut_off:
                raise ending(self._backend)
            return parts
        if self._loop is not None and self._loop is not loop and not self._loop.is_closed():
            raise WrongEventLoopError(
                f"this {self._backend} backend is in use by another event loop: open one for each "
                "loop"
            )
        self._loop = loop
        self.parts = made = self._make()
        return made

    def close(self) -> P | None:
        """Close for good; return the parts if they have to be closed on the running event loop.

        Parts of another loop are left to the end of that loop, which closes their connections.
        """
        self._closed = True
        parts, self.parts = self.parts, None
        return parts if self._loop is asyncio.get_running_loop() else None
