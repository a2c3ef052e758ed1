"""The request channel of a stream: heard before the claim can be seen, answered once it is won."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from resumable_stream._shared import Shared
    from resumable_stream.ports import Loss, Subscription

# More requests than this, made while the claim is being taken, must be made again.
_MAX_EARLY = 1024


class Requests:
    """What listeners ask of one producer.

    Args:
        on_request: called with each request, once ``answer`` has been called.
        on_loss: called when requests may have been lost.
    """

    __slots__ = ("_early", "_on_loss", "_on_request", "_shared", "_stream_id", "_subscription")

    def __init__(
        self,
        stream_id: str,
        shared: Shared,
        *,
        on_request: Callable[[bytes], None],
        on_loss: Callable[[Loss], None],
    ) -> None:
        self._stream_id = stream_id
        self._shared = shared
        self._on_request = on_request
        self._on_loss = on_loss
        self._subscription: Subscription | None = None
        self._early: list[bytes] | None = []  # until they are answered

    async def listen(self) -> None:
        """Subscribe, before the claim is taken and can be seen.

        A TypeScript listener that finds the claim asks once, and gives up if it is not heard.
        """
        self._subscription = await self._shared.backend.subscribe(
            self._shared.names.request(self._stream_id), self._hear, self._on_loss
        )

    def answer(self) -> None:
        """Answer from now on: first what has been asked already."""
        early, self._early = self._early or (), None
        for request in early:
            self._on_request(request)

    async def aclose(self) -> None:
        """Hear no more. Idempotent."""
        if self._subscription is not None:
            await self._subscription.aclose()

    def _hear(self, request: bytes) -> None:
        if self._early is None:
            self._on_request(request)
        elif len(self._early) < _MAX_EARLY:
            self._early.append(request)
