"""The instance of a context: one at a time, on the event loop in which the context is used."""

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
    """Binds a context to the event loop of its first use, and to another one once that is closed.

    Args:
        open_backend: opens the backend of an instance. It is also called at once, which opens no
            connection, so that the caller that passed a wrong URL gets the error.
        owns_backend: close the backend with its instance.
        make_instance: creates an instance on the running event loop.

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
            ContextClosedError: the context was closed in this loop, and not opened again.
            WrongEventLoopError: another event loop uses the context, or no event loop runs here.
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
        """Return the instance of this event loop; create a new one if the context was closed."""
        self._closed_in = None
        return self.get()

    async def close(self, patience: float) -> None:
        """Wait up to ``patience`` seconds for running streams, then end and release everything.

        Idempotent. If the call is cancelled, it stops waiting, but everything is still released.
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
            # Held in an attribute, because it goes on if this call is cancelled.
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
