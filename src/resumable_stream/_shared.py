"""What all streams of an instance share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from resumable_stream._protocol.wire import Decoder, encode_request
from resumable_stream._renewing import Renewer
from resumable_stream._ticks import Ticks

if TYPE_CHECKING:
    from resumable_stream._loops import Background
    from resumable_stream._options import Options
    from resumable_stream._protocol.names import Names
    from resumable_stream._protocol.wire import Request
    from resumable_stream.journal import Journal
    from resumable_stream.ports import Backend


class Shared:
    """Created once for an instance, and passed to each of its producers and readers.

    Attributes:
        backend: holds their keys, and carries their messages.
        journal: keeps their text, if there is one.
        names: the names of those keys and channels.
        options: the options of the context.
        background: holds the tasks that no caller waits for.
        ticks: the timers.
        renewer: renews leases that fall due together.
        decoder: decodes a message once, however many readers get it.
    """

    __slots__ = (
        "backend",
        "background",
        "decoder",
        "journal",
        "names",
        "options",
        "renewer",
        "ticks",
    )

    def __init__(
        self,
        backend: Backend,
        journal: Journal | None,
        names: Names,
        options: Options,
        background: Background,
    ) -> None:
        self.backend = backend
        self.journal = journal
        self.names = names
        self.options = options
        self.background = background
        self.ticks = Ticks()
        self.renewer = Renewer(backend, options.lease_ttl, background)
        self.decoder = Decoder()

    async def ask(self, stream_id: str, *requests: Request) -> None:
        """Publish requests to the producer of the stream."""
        channel = self.names.request(stream_id)
        messages = [(channel, encode_request(request)) for request in requests]
        if len(messages) == 1:
            await self.backend.publish(*messages[0])
        else:
            await self.backend.publish_many(messages)
