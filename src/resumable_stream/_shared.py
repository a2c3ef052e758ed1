"""What all streams of an instance share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from resumable_stream._protocol.wire import Decoder, encode_request
from resumable_stream._ticks import Ticks

if TYPE_CHECKING:
    from resumable_stream._loops import Background
    from resumable_stream._options import Options
    from resumable_stream._protocol.names import Names
    from resumable_stream._protocol.wire import Request
    from resumable_stream.ports import Backend


@dataclass(frozen=True, slots=True)
class Shared:
    """Created once for an instance, and passed to each of its producers and readers.

    Attributes:
        backend: holds their keys, and carries their messages.
        names: the names of those keys and channels.
        options: the options of the context.
        background: holds the tasks that no caller waits for.
        ticks: the timers.
        decoder: decodes a message once, however many readers get it.
    """

    backend: Backend
    names: Names
    options: Options
    background: Background
    ticks: Ticks = field(default_factory=Ticks)
    decoder: Decoder = field(default_factory=Decoder)

    async def ask(self, stream_id: str, request: Request) -> None:
        """Publish a request to the producer of the stream."""
        await self.backend.publish(self.names.request(stream_id), encode_request(request))
