"""What stands in the key-value store: a stream's sentinel, and the outcome beside ``DONE``."""

from __future__ import annotations

import json
import time
from typing import NamedTuple

from resumable_stream._protocol.ending_fields import ending_fields, ending_from
from resumable_stream._protocol.fields import MalformedError, natural, read_object
from resumable_stream._protocol.lineage import Lineage
from resumable_stream._text.endings import Ending, Status
from resumable_stream._text.offsets import MAX_SAFE_INTEGER

DONE = "DONE"
_RUNNING = "running"

# A sentinel is generation << 20. TypeScript peers INCR it once per call: the low bits are theirs.
FOREIGN_BITS = 20
_MAX_DIGITS = 16

# How many seconds the clocks of two hosts may differ.
_CLOCK_SKEW = 60.0

# Used only to save a request that nobody would answer: no promise depends on this clock.
wall_clock = time.time


def generation_of(value: str) -> int:
    """Return the generation of a sentinel; 0 for a TypeScript peer's count, or anything else."""
    if not value.isascii() or not value.isdigit() or len(value) > _MAX_DIGITS:
        return 0
    number = int(value)
    return number >> FOREIGN_BITS if number <= MAX_SAFE_INTEGER else 0


class Outcome(NamedTuple):
    """The record beside ``DONE``: which generation ended, after how many chunks, and how.

    ``generation`` is None if the record cannot be read. ``served_until`` is the Unix time until
    which the producer intends to serve the stream, and ``kept_until`` that until which the journal
    has all of its text. ``lineage`` says what the run has continued.
    """

    generation: int | None
    end: int
    ending: Ending
    served_until: int = 0
    kept_until: int = 0
    lineage: Lineage = Lineage()

    def encode(self) -> str:
        fields = {"generation": self.generation, "end": self.end} | ending_fields(self.ending)
        if self.served_until:
            fields["servedUntil"] = self.served_until
        if self.kept_until:
            fields["keptUntil"] = self.kept_until
        return json.dumps(fields | self.lineage.fields(), separators=(",", ":"))

    def is_served(self) -> bool:
        """Return whether the producer may still serve the stream, even if clocks differ."""
        return wall_clock() < self.served_until + _CLOCK_SKEW

    @classmethod
    def decode(cls, text: str | None) -> Outcome | None:
        """Return the outcome in a record; None if there is no record, or it is malformed."""
        if text is None:
            return None
        try:
            fields = read_object(text)
            ending = ending_from(fields)
            if ending.status is Status.SUPERSEDED:
                return None  # this status ends a run, not the stream
            return cls(
                natural(fields.get("generation")),
                natural(fields.get("end")),
                ending,
                natural(fields.get("servedUntil"), 0),
                natural(fields.get("keptUntil"), 0),
                Lineage.read(fields),
            )
        except MalformedError:
            return None

    def is_kept(self) -> bool:
        """Return whether the journal should still have the text, by this instance's clock."""
        return wall_clock() < self.kept_until


class Running(NamedTuple):
    """What stands in place of an outcome while a producer writes its text to a journal.

    It leads to the text of a producer that dies. ``kept_until`` is as in ``Outcome``, and
    ``retention`` the time to live of each record, in seconds. ``lineage`` as there.
    """

    generation: int
    kept_until: int
    retention: int = 0
    lineage: Lineage = Lineage()

    def encode(self) -> str:
        fields: dict[str, object] = {
            "generation": self.generation,
            "status": _RUNNING,
            "keptUntil": self.kept_until,
            "retention": self.retention,
        }
        return json.dumps(fields | self.lineage.fields(), separators=(",", ":"))

    @classmethod
    def decode(cls, text: str | None) -> Running | None:
        """Return what a record says of a run; None if it says something else, or nothing."""
        if text is None:
            return None
        try:
            fields = read_object(text)
            if fields.get("status") != _RUNNING:
                return None
            return cls(
                natural(fields.get("generation")),
                natural(fields.get("keptUntil"), 0),
                natural(fields.get("retention"), 0),
                Lineage.read(fields),
            )
        except MalformedError:
            return None


def left_in(record: str | None) -> Running | Outcome | None:
    """Return what a record without a sentinel leads to: text that is kept, or nothing.

    Its producer died while it ran, or between the outcome and ``DONE``.
    """
    outcome = Outcome.decode(record)
    if outcome is None:
        return Running.decode(record)
    return outcome if outcome.is_kept() else None
