"""How one stream's listeners elsewhere are served: most streams have none, and need nothing."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Protocol

from resumable_stream._producing.outgoing import Outgoing
from resumable_stream._producing.outlet import Outlet
from resumable_stream._text.endings import Ending, Status

if TYPE_CHECKING:
    from resumable_stream._producing.claim import Claim
    from resumable_stream._producing.publisher import Publisher
    from resumable_stream._producing.recording import Recording
    from resumable_stream._producing.v1_audience import V1Audience
    from resumable_stream._protocol.wire import EndFrame
    from resumable_stream._shared import Shared
    from resumable_stream._text.log import Log


class Served(Protocol):
    """The producer, of which listeners want the text, or that it stops or forgets it."""

    stream_id: str
    log: Log

    def stop(self, ending: Ending) -> bool: ...

    def erase(self) -> None: ...


class Service:
    """Serves the listeners of a producer, once there are any.

    Attributes:
        outlet: what serves them; None until somebody has asked.
    """

    __slots__ = (
        "_audience",
        "_claim",
        "_producer",
        "_publisher",
        "_recording",
        "_shared",
        "outlet",
    )

    def __init__(
        self,
        producer: Served,
        claim: Claim,
        recording: Recording,
        shared: Shared,
        audience: V1Audience,
        publisher: Publisher,
    ) -> None:
        self._producer = producer
        self._claim = claim
        self._recording = recording
        self._shared = shared
        self._audience = audience
        self._publisher = publisher
        self.outlet: Outlet | None = None

    def wake(self) -> None:
        """Look for something to send, if anybody listens."""
        if self.outlet is not None:
            self.outlet.wake()

    def handle(self, message: bytes) -> None:
        """Take in a message of the request channel."""
        self.opened().outgoing.handle(message)

    def resync(self) -> None:
        """Tell listeners how far the stream is: there was a gap."""
        if self.outlet is not None:
            self.outlet.outgoing.resync()

    def announce(self, end: EndFrame) -> None:
        """Tell listeners the end from now on: it is recorded."""
        if self.outlet is not None:
            self.outlet.outgoing.announce(end)

    async def farewell(self) -> None:
        """Wait until nobody needs the producer any more, among those who have asked by now."""
        if self.outlet is not None:
            await self.outlet.farewell()

    async def dismiss(self, end: EndFrame) -> None:
        """Serve nobody any more; tell those who follow so, once."""
        await self.opened().dismiss(end)

    async def aclose(self) -> None:
        """Send nothing more. Idempotent."""
        await self.opened().aclose()

    def opened(self) -> Outlet:
        """Return the outlet, and make it if there is none."""
        if self.outlet is None:
            outgoing = Outgoing(
                self._producer.stream_id,
                self._claim,
                self._producer.log,
                self._shared,
                self._audience,
                on_news=self.wake,
                on_cancel=partial(self._producer.stop, Ending(Status.CANCELLED)),
                on_erase=self._producer.erase,
            )
            self.outlet = Outlet(outgoing, self._publisher, self._shared)
            if self._recording.end is not None:
                outgoing.announce(self._recording.end)
        return self.outlet
