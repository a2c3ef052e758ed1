"""The options of a context, and the intervals that follow from them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from resumable_stream._text.offsets import OffsetUnit
from resumable_stream.errors import InvalidSettingError

_LEAST_LEASE = 1.0
_LEAST_WINDOW = 4096
# How long a stopped source may take to close before its stream ends without it.
CLOSE_TIMEOUT = 5.0
# How long an ``on_end`` may take before its stream is recorded as ended without it.
ON_END_TIMEOUT = 10.0


def staggered(number: int) -> float:
    """Return the part of an interval to wait the first time, so that many do not act together.

    Args:
        number: a random number, which decides the part.
    """
    return 0.2 + 0.8 * (number % 1024) / 1024


class Durability(StrEnum):
    """When the text of a stream is written to the journal."""

    EXIT = "exit"
    """Once, when the stream is over; each MiB of a longer text before."""

    ASYNC = "async"
    """While it runs; readers do not wait for it."""

    SYNC = "sync"
    """While it runs, and before any reader gets it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a context behaves. All times are in seconds.

    Attributes:
        lease: a producer that dies is reported, and its stream disappears, within 1.1 leases; at
            least 1. A producer renews its lease every third of it.
        heartbeat: how often a producer that has nothing else to send, and an instance that reads
            its stream, send a sign of life; at most a third of the lease. A fifth of the lease if
            None.
        handshake_timeout: how long to wait for a producer that does not answer.
        outage_timeout: how long a remote reader tolerates the broker's absence.
        drain_timeout: how long ``aclose`` lets running producers finish.
        done_ttl: how long the end of a stream is remembered; at least one lease.
        linger_timeout: how long an ended producer keeps its text for remote readers that are
            attached but make no progress.
        buffer_limit: how much text of one stream is kept, in UTF-16 code units; older text is
            trimmed away.
        window: how much of a stream a remote reader holds ahead of its consumer, in bytes; at
            least 4,096. Chunks larger than that are held whole.
        offset_unit: what offsets count: UTF-16 code units as the TypeScript package does, or code
            points.
        disclose_errors: tell remote readers the type and message of a failed source's exception.
        grace: how long after its end a stream is still served to callers that name a place in it,
            by a last event id or an offset; at most ``done_ttl``, and 0 for not at all. An instance
            keeps a bounded amount of text for this, and drops the oldest streams first.
        log_tracebacks: log a failed source's exception with its message and traceback, not only
            with its type.
        durability: when the text is written to the journal: ``"exit"``, once, when the stream is
            over, and each MiB of a longer text before; ``"async"``, each second or 32 KiB;
            ``"sync"``, each 20 ms or 32 KiB, and no reader gets text before it is written. None
            writes nothing.
        retention: how long the journal keeps the text after it was written; at most ``done_ttl``.
        journal_limit: how much text of one stream is written to the journal, in bytes. Of a longer
            stream nothing is kept, which its status says.

    Raises:
        InvalidSettingError: a value is out of its range.
    """

    lease: float = 15.0
    heartbeat: float | None = None
    handshake_timeout: float = 5.0
    outage_timeout: float = 60.0
    drain_timeout: float = 10.0
    done_ttl: float = 24 * 60 * 60
    linger_timeout: float = 300.0
    buffer_limit: int = 128 * 1024 * 1024
    window: int = 1024 * 1024
    offset_unit: OffsetUnit | str = OffsetUnit.UTF16
    disclose_errors: bool = True
    grace: float = 30.0
    log_tracebacks: bool = True
    durability: Durability | str | None = None
    retention: float = 60 * 60
    journal_limit: int = 64 * 1024 * 1024

    def __post_init__(self) -> None:
        self._check("lease", at_least=_LEAST_LEASE)
        if self.heartbeat is not None:
            self._check("heartbeat", at_least=0.001, at_most=self.lease / 3)
        self._check("handshake_timeout", at_least=0.001)
        self._check("outage_timeout", at_least=0)
        self._check("drain_timeout", at_least=0)
        self._check("done_ttl", at_least=self.lease)
        self._check("linger_timeout", at_least=0)
        self._check("grace", at_least=0)
        self._check("buffer_limit", at_least=1)
        self._check("window", at_least=_LEAST_WINDOW)
        self._choose("offset_unit", OffsetUnit)
        if self.durability is not None:
            self._choose("durability", Durability)
            self._check("retention", at_least=1, at_most=self.done_ttl)
            self._check("journal_limit", at_least=1)

    def _choose(self, name: str, choices: type[StrEnum]) -> None:
        value = getattr(self, name)
        try:
            object.__setattr__(self, name, choices(value))
        except ValueError:
            known = " or ".join(repr(str(choice)) for choice in choices)
            raise InvalidSettingError(f"{name} {value!r} must be {known}") from None

    def _check(self, name: str, *, at_least: float, at_most: float = math.inf) -> None:
        value = getattr(self, name)
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not number or not math.isfinite(value) or not at_least <= value <= at_most:
            upper = f" and at most {at_most:g}" if at_most < math.inf else ""
            raise InvalidSettingError(
                f"{name} {value!r} must be a number of at least {at_least:g}{upper}"
            )

    @property
    def unit(self) -> OffsetUnit:
        return OffsetUnit(self.offset_unit)

    @property
    def lease_ttl(self) -> int:
        """The lease as a time to live: whole seconds, rounded up."""
        return math.ceil(self.lease)

    @property
    def cancel_timeout(self) -> float:
        """How long a live producer may take to answer a cancel."""
        return self.lease + self.handshake_timeout + CLOSE_TIMEOUT + ON_END_TIMEOUT

    @property
    def end_ttl(self) -> int:
        """``done_ttl`` as a time to live."""
        return math.ceil(self.done_ttl)

    @property
    def outcome_ttl(self) -> int:
        """The time to live of the outcome record, which must outlive the sentinel ``DONE``."""
        return math.ceil(self.done_ttl + self.lease)

    @property
    def retention_ttl(self) -> int:
        """``retention`` as a time to live."""
        return math.ceil(self.retention)

    @property
    def pointer_ttl(self) -> int:
        """The time to live of the pointer to a run's log, which must outlive the log.

        It is written again after half the retention, at the next record.
        """
        return math.ceil(self.retention * 3 / 2 + self.lease)

    @property
    def grace_period(self) -> float:
        """``grace``, or ``done_ttl`` if that is shorter."""
        return min(self.grace, self.done_ttl)

    @property
    def renew_interval(self) -> float:
        """A third of the lease: two renewals may be lost before it runs out."""
        return self.lease / 3

    @property
    def heartbeat_interval(self) -> float:
        """``heartbeat``, or what it defaults to."""
        return self.lease / 5 if self.heartbeat is None else self.heartbeat
