"""Places in a stream, as callers, clients and the wire name them: offsets, event ids, bytes."""

from __future__ import annotations

import re
from typing import NamedTuple

from resumable_stream._text.offsets import MAX_SAFE_INTEGER
from resumable_stream.errors import InvalidEventIdError

_EVENT_ID = re.compile(r"([1-9][0-9]{0,15})-(0|[1-9][0-9]{0,15})")


class Place(NamedTuple):
    """A place in the text as the wire names it: a chunk, and a byte of its UTF-8."""

    sequence: int
    byte: int = 0


class EventId(NamedTuple):
    """A generation, and the sequence number of the chunk that comes next."""

    generation: int
    sequence: int

    def __str__(self) -> str:
        return f"{self.generation}-{self.sequence}"

    @classmethod
    def parse(cls, text: str) -> EventId:
        """Undo ``str``.

        Raises:
            InvalidEventIdError: this library never gave out such an id.
        """
        match = _EVENT_ID.fullmatch(str(text))
        if match is None or max(numbers := tuple(map(int, match.groups()))) > MAX_SAFE_INTEGER:
            raise InvalidEventIdError(
                f"last event id {text!r:.80} was not given out by this library: "
                "pass a stream's last_event_id, or none"
            )
        return cls(*numbers)


class Start(NamedTuple):
    """Where a reader begins: at an offset, or at an event id.

    ``named`` says whether the caller named the place: such a caller is served during the grace.
    """

    offset: int = 0
    event_id: EventId | None = None
    named: bool = False
