"""What may go wrong in a run, and what a client does in it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Climate(StrEnum):
    """Which kinds of trouble a run may have."""

    CALM = "calm"
    """No trouble: the oracle is strictest."""
    MESSAGES = "messages"
    """Messages are dropped, repeated, late and cut short; nothing else breaks."""
    BROKER = "broker"
    """Connections break, the broker goes away, forgets, or remembers old keys."""
    HOSTS = "hosts"
    """Hosts are paused, die, and are closed."""
    ALL = "all"


class Kind(StrEnum):
    """One trouble."""

    UNPLUG = "unplug"
    BLACK_HOLE = "black hole"
    DEAFEN = "deafen"
    OUTAGE = "outage"
    PAUSE = "pause"
    KILL = "kill"
    CLOSE = "close"


# Stands for the host that produces just then.
PRODUCER = -1


@dataclass(frozen=True)
class Trouble:
    at: float
    kind: Kind
    host: int
    lasts: float
    keys: str = "kept"
    restart: bool = False


@dataclass(frozen=True)
class ClientPlan:
    """A client that wants to read.

    Attributes:
        starts: it starts the stream if nobody has; with ``create`` it must be the first.
        prompt: it reads as fast as it can.
        stays: how many chunks it reads before it leaves and comes back; None for all.
        patience: how many seconds it waits for a chunk before it tries again.
        cancelled_after: after how many seconds it is cancelled, whatever it is doing.
        replay: it takes text that is over from the journal.
        borrows: it begins at an event id that another client was given.
    """

    at: float
    starts: bool
    create: bool
    offset: int
    by_event: float
    pause: float
    stays: int | None
    patience: float | None
    cancelled_after: float | None
    leaves_by: str
    moves: bool
    replay: bool = True
    borrows: bool = False

    @property
    def prompt(self) -> bool:
        return not self.pause
