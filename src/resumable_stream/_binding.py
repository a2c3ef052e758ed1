"""Which instance a context has: one at a time, on the event loop that it is used in."""

from __future__ import annotations

import asyncio
import weakref
from typing import TYPE_CHECKING

from resumable_stream._loops import running_loop
from resumable_stream.errors import ContextClosedError, WrongEventLoopError

if TYPE_CHECKING:
    from collections.abc import Callable

    from resumable_stream._instance import Instance
    from resumable_stream.ports import Backend


class Binding:
    """Binds a context to the event loop of its first use, and after that one is closed to the next.

    Args:
        open_backend: opens the backend of an instance. Called at once, too, which connects nothing,
            so that a wrong URL is reported to whoever gave it.
        owns_backend: close the backend with its instance.
        make_instance: makes an instance on the running event loop.

    Attributes:
        instance: the present one.
    """

    def __init__(
        self,
        open_backend: Callable[[], Backend],
        make_instance: Callable[[Backend], Instance],
        *,
        owns_backend: bool,
    ) -> None:
        self.instance: Instance | None = None
        self._open_backend = open_backend
        self._make_instance = make_instance
        self._owns_backend = owns_backend
        self._unused: Backend | None = open_backend()
        self._closed_in: weakref.ref[asyncio.AbstractEventLoop] | None = None
        self._ending: asyncio.Task[None] | None = None

    def get(self) -> Instance:
        """Return the instance of this event loop.

        Raises:
            ContextClosedError: it was closed here, and not opened again.
            WrongEventLoopError: another event loop has one, or none runs here.
        """
        loop = running_loop()
        if self._closed_in is not None and self._closed_in() is loop:
            raise ContextClosedError(
                "this context was closed: enter it again, by 'async with', or create another one"
            )
        self._closed_in = None
        if (instance := self._checked()) is None:
            backend, self._unused = self._unused or self._open_backend(), None
            instance = self.instance = self._make_instance(backend)
        return instance

    def reopen(self) -> Instance:
        """Return the instance of this event loop, a fresh one if it was closed here."""
        self._closed_in = None
        return self.get()

    async def close(self, patience: float) -> None:
        """Let what runs finish for ``patience`` seconds, end it, and release everything.

        Idempotent. Cancelling it ends the waiting, not the ending.
        """
        instance = self._checked()
        self._closed_in = weakref.ref(running_loop())
        unused, self._unused = self._unused, None
        if unused is not None and self.instance is None and self._owns_backend:
            await unused.aclose()
        self.instance = None
        if instance is None:
            return
        try:
            await instance.drain(patience)
        finally:
            # Referenced here: it goes on if this call is cancelled.
            self._ending = instance.loop.create_task(instance.end(close_backend=self._owns_backend))
            await asyncio.shield(self._ending)

    def _checked(self) -> Instance | None:
        """Return the present instance, unless its event loop is closed."""
        if self.instance is None or self.instance.loop.is_closed():
            return None
        if self.instance.loop is not running_loop():
            raise WrongEventLoopError(
                "this context is in use by another event loop, which is not closed: "
                "create a context per loop"
            )
        return self.instance
