"""Which earlier runs of a stream a run continues."""

from __future__ import annotations

from typing import NamedTuple

from resumable_stream._protocol.fields import MalformedError, natural
from resumable_stream._protocol.places import EventId, Start
from resumable_stream.errors import StreamHistoryChangedError

# No caller continues a stream more often.
MOST_RUNS = 100


class Lineage(NamedTuple):
    """The runs whose text a run begins with, oldest first, each with its number of chunks."""

    runs: tuple[tuple[int, int], ...] = ()

    def continued(self, generation: int, end: int) -> Lineage:
        """Return the lineage of a run that continues this one, after so many chunks."""
        return Lineage((*self.runs, (generation, end)))

    def end_of(self, generation: int) -> int | None:
        """Return how many chunks of an earlier run are continued; None if it is none of them."""
        return next((end for one, end in self.runs if one == generation), None)

    def own(self, stream_id: str, generation: int, start: Start) -> Start:
        """Return a start at an event id of an earlier run as one at this run's own.

        Raises:
            StreamHistoryChangedError: that place is not in this run's text.
        """
        place = start.event_id
        if place is None or place.generation == generation:
            return start
        end = self.end_of(place.generation)
        if end is None or place.sequence > end:
            raise StreamHistoryChangedError(stream_id, end)
        return start._replace(event_id=EventId(generation, place.sequence))

    def fields(self) -> dict[str, object]:
        return {"continues": [list(one) for one in self.runs]} if self.runs else {}

    @classmethod
    def read(cls, fields: dict[str, object]) -> Lineage:
        """Undo ``fields``.

        Raises:
            MalformedError: they say something else.
        """
        runs = fields.get("continues", [])
        if not isinstance(runs, list) or len(runs) > MOST_RUNS:
            raise MalformedError("no list of runs")
        found = []
        for one in runs:
            if not isinstance(one, list) or len(one) != 2:  # noqa: PLR2004 - a pair
                raise MalformedError("no run and its end")
            found.append((natural(one[0]), natural(one[1])))
        return cls(tuple(found))
