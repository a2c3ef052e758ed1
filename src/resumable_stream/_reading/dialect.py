"""What a reader asks of the dialect that its producer understands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from resumable_stream._protocol.whereabouts import Whereabouts
    from resumable_stream._reading.liveness import Sighting
    from resumable_stream._text.endings import Status


class Dialect(Protocol):
    """How a reader speaks with one kind of producer.

    A dialect hands what comes to the reader that it was made for. The reader's task calls all that
    waits, one call at a time. A failure of the broker that is raised there ends the reader; one
    that is given to ``RemoteReader.broker_failed`` is tolerated for a while.
    """

    @property
    def replaced(self) -> Status:
        """How the stream has ended for an attached reader once it is another producer's."""
        ...

    async def open(self) -> None:
        """Subscribe."""
        ...

    async def act(self) -> float:
        """Do what is due; return for how many seconds nothing else is."""
        ...

    def due_in(self) -> float:
        """Tell in how many seconds something is due; 0 if it is due now, or very soon."""
        ...

    async def leave(self) -> None:
        """Tell the producer that this reader leaves."""
        ...

    def sight(self, where: Whereabouts) -> Sighting:
        """Take in where the stream was found; tell what that says of the producer."""
        ...

    def event_id(self, unread: int, *, begun: bool) -> str | None:
        """Name the place before the last ``unread`` chunks that came; None if it has no name.

        Before any chunk was read (``begun``), the place may lie inside a chunk.
        """
        ...
