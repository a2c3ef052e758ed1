"""The state of a stream in the key-value store: who produces it, and how it ended."""

from __future__ import annotations

import json
import logging
import time
from enum import Enum, auto
from typing import TYPE_CHECKING, NamedTuple

from resumable_stream._protocol.fields import MalformedError, natural, read_object
from resumable_stream._protocol.wire import ending_fields, ending_from
from resumable_stream._text.endings import Ending, Status
from resumable_stream._text.offsets import MAX_SAFE_INTEGER

if TYPE_CHECKING:
    from resumable_stream._protocol.names import Names
    from resumable_stream.ports import KeyValue

logger = logging.getLogger("resumable_stream")

DONE = "DONE"

# A sentinel is generation << 20. TypeScript peers INCR it once per call; the low bits are theirs.
FOREIGN_BITS = 20
_MAX_DIGITS = 16

# By how many seconds the clocks of two hosts may differ.
_CLOCK_SKEW = 60.0

# Only ever saves a question that nobody would answer: nothing that is promised depends on it.
wall_clock = time.time


class Absence(Enum):
    """States of a stream that nobody produces."""

    MISSING = auto()
    DONE = auto()


class Active(NamedTuple):
    """Somebody produces the stream; ``generation`` is None for a TypeScript peer."""

    generation: int | None


State = Absence | Active


def parse_sentinel(value: str | None) -> State:
    if value is None:
        return Absence.MISSING
    if value == DONE:
        return Absence.DONE
    generation = generation_of(value)
    return Active(generation or None)


def generation_of(value: str) -> int:
    """The generation a sentinel names; 0 if it is a TypeScript peer's count, or anything else."""
    if not value.isascii() or not value.isdigit() or len(value) > _MAX_DIGITS:
        return 0
    number = int(value)
    return number >> FOREIGN_BITS if number <= MAX_SAFE_INTEGER else 0


class Outcome(NamedTuple):
    """The record beside ``DONE``: which generation ended, after how many chunks, and how.

    ``generation`` is None if the record cannot be read. ``served_until`` is the Unix time until
    which the producer means to serve the stream.
    """

    generation: int | None
    end: int
    ending: Ending
    served_until: int = 0

    def encode(self) -> str:
        fields = {"generation": self.generation, "end": self.end} | ending_fields(self.ending)
        if self.served_until:
            fields["servedUntil"] = self.served_until
        return json.dumps(fields, separators=(",", ":"))

    def is_served(self) -> bool:
        """Tell whether it is worth asking the producer, though clocks differ."""
        return wall_clock() < self.served_until + _CLOCK_SKEW

    @classmethod
    def decode(cls, text: str | None) -> Outcome | None:
        """Return what a record says; None without a record, or if it is not as specified."""
        if text is None:
            return None
        try:
            fields = read_object(text)
            ending = ending_from(fields)
            if ending.status is Status.SUPERSEDED:
                return None  # which ends a run, not the stream
            return cls(
                natural(fields.get("generation")),
                natural(fields.get("end")),
                ending,
                natural(fields.get("servedUntil"), 0),
            )
        except MalformedError:
            return None


# How a stream ended whose record cannot be read is unknown: never may it look complete.
_UNREADABLE = Outcome(None, 0, Ending(Status.LOST))


async def read_state(store: KeyValue, names: Names, stream_id: str) -> State:
    return parse_sentinel(await store.get(names.sentinel(stream_id)))


async def read_outcome(store: KeyValue, names: Names, stream_id: str) -> Outcome | None:
    """Return the record of a stream's end; None if nothing was recorded."""
    key = names.outcome(stream_id)
    text = await store.get(key)
    outcome = Outcome.decode(text)
    if outcome is None and text is not None:
        logger.warning(
            "the record %r cannot be read: its stream counts as lost; find out what wrote it, "
            "another program or a newer version of this library, and give it a key_prefix of its "
            "own",
            key,
        )
        return _UNREADABLE
    return outcome


def ending_of(outcome: Outcome | None) -> Ending:
    """How a stream whose sentinel is ``DONE`` ended; a TypeScript peer leaves no record."""
    return outcome.ending if outcome else Ending(Status.COMPLETED)
