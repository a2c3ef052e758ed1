"""Where a stream is, here or elsewhere, and how its producer there is reached."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, final

from resumable_stream._protocol.whereabouts import Whereabouts, look_up
from resumable_stream._reading.elsewhere import attach
from resumable_stream._reading.enrolment import Enrolments
from resumable_stream.errors import ContextClosedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from resumable_stream._producing.producer import Producer
    from resumable_stream._protocol.places import Start
    from resumable_stream._reading.remote import RemoteReader
    from resumable_stream._shared import Shared


@final
class Here(NamedTuple):
    """This instance produces the stream."""

    producer: Producer


class Finding:
    """Finds the producers of streams for one instance.

    Args:
        local: gives the instance's own producer of a stream.

    Attributes:
        closed: nothing can be read any more.
    """

    def __init__(self, shared: Shared, local: Callable[[str], Producer | None]) -> None:
        self.closed = False
        self._shared = shared
        self._local = local
        self._enrolments = Enrolments(shared)

    async def look_up(self, stream_id: str, wanted: int | None = None) -> Here | Whereabouts:
        """Tell where the stream is: here, or wherever the broker says.

        Args:
            stream_id: which stream.
            wanted: which run; the producer of another one may not know that it was superseded.

        Raises:
            BackendError: the stream is not produced here, and the broker did not answer.
        """
        self._check_open()
        producer = self._local(stream_id)
        if producer is not None and (wanted is None or producer.has_text_of(wanted)):
            return Here(producer)
        shared = self._shared
        journaled = shared.journal is not None
        return await look_up(shared.backend, shared.names, stream_id, journaled=journaled)

    async def attached(
        self, stream_id: str, generation: int | None, start: Start, *, ended: bool = False
    ) -> RemoteReader | None:
        """Read a stream from its producer elsewhere; None if it is no longer produced there."""
        self._check_open()
        shared, enrolments = self._shared, self._enrolments
        return await attach(shared, enrolments, stream_id, generation, start, ended=ended)

    def _check_open(self) -> None:
        if self.closed:
            raise ContextClosedError("this context was closed while the stream was joined")
