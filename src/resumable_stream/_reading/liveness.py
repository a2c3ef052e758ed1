"""Whether the producer elsewhere still lives: all that a reader concludes from words and silence.

Nothing here waits, reads or sends, and the time is passed in. A reader tells what it has met
(``heard``, ``asked``, ``failed`` and so on) and follows the ``Verdict``. There are three questions.

**Is this silence normal?** (``verdict``)

=========  =============================  ==============================================
stage      a producer of this library     a TypeScript producer
=========  =============================  ==============================================
handshake  never                          for a second after each question
following  for half a lease (LSN-3)       for half a lease, or a second after a question
repair     does not occur                 for a second after each question
=========  =============================  ==============================================

In silence the producer is asked, and the stream is looked up: every second and at least ten times a
lease, or in the handshake as often as the producer is asked (LSN-1, LSN-5). A TypeScript producer
is asked one question at a time (V1-4), and the stream is looked up once that has been open for a
second, which is how long the TypeScript package itself waits. Once a producer of another generation
has answered, no silence is normal: only the sentinel tells which of the two is the zombie.

**What does the look-up prove?** (``weigh``)

========  ====================  ==================================  ============================
sighting  in the first          attached                            attached, and the broker was
          handshake                                                 in trouble within a lease
========  ====================  ==================================  ============================
active    time out in the end   lost, once unanswered for the       lost, once silent for a
          (LSN-1)               outage time, at least a lease       lease and the outage time
over      the same, if begun    lost, once unanswered for a lease   the same
          so (END-6), or moved
missing   moved                 lost                                the same
another   moved                 moved                               moved
========  ====================  ==================================  ============================

The columns are LSN-1, LSN-5 and LSN-6. Trouble is a loss, an error or a slow answer: the broker may
have let leases run out, or swallowed answers. An active sentinel of this library proves a producer
that renews it. A TypeScript producer's stays for a day, whoever lives, and so proves nothing: it is
lost once unanswered for half a lease.

**For how long may the broker be away?** (``failed``) For the outage time, or for the handshake's
time-out before attaching; then, what will not pass by itself is not waited for at all (LSN-7).
"""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING

from resumable_stream._backoff import Backoff

if TYPE_CHECKING:
    from resumable_stream._options import Options

# Before attaching, retry fast: the producer may not have subscribed yet. Afterwards an answer may
# just as well be on its way over a slow link.
_FIRST_PAUSE = 0.03
_NEXT_PAUSE = 0.25
# In silence the stream is looked up this often, and at least ten times a lease.
_CHECK_EVERY = 1.0
_CHECK_FIRST = 0.2
# How long the producer of a stream that is over is waited for: it may no longer serve its text.
_ENDED_TIMEOUT = 2.0
# How long the TypeScript package itself waits for an answer.
ANSWER_TIMEOUT = 1.0
# A broker that takes longer to answer, or longer than a fifth of a lease, may have stood still.
_SLOW = 1.0


class Verdict(Enum):
    """What a reader has to do next."""

    ALIVE = auto()
    """Nothing: silence is normal so far."""

    ASK = auto()
    """Ask the producer, which ought to have been heard."""

    CHECK = auto()
    """Ask, and look up where the stream is; then ``weigh`` what was found."""

    LOST = auto()
    """End: the producer is gone."""

    MOVED = auto()
    """End: the stream is no longer where this reader reads it."""

    TIMED_OUT = auto()
    """End: nobody has answered the handshake."""

    UNAVAILABLE = auto()
    """End: the broker has been away for too long."""


class Sighting(Enum):
    """What a look-up says of the producer that a reader reads."""

    ACTIVE = auto()
    """The sentinel names it."""

    OVER = auto()
    """It has ended, or the record of who has cannot be read; it may still serve its text."""

    MISSING = auto()
    """There is no sentinel."""

    ANOTHER = auto()
    """The stream is another producer's, or has ended as another's."""


class _Stage(Enum):
    HANDSHAKE = auto()
    FOLLOWING = auto()
    REPAIR = auto()  # attached, and shaking hands once more


class Liveness:
    """What one reader knows of its producer and of the broker.

    Args:
        options: of the context.
        now: when the reader begins.
        typescript: the producer is the npm package's.
        ended: the stream is over, and perhaps still served.

    Attributes:
        handshake_timeout: how long the handshake may take.
        pauses: between questions that stay unanswered, and between failures of the broker.
    """

    __slots__ = (
        "_asked_at",
        "_asking_since",
        "_began",
        "_check_at",
        "_contradicted",
        "_disturbed_at",
        "_ended",
        "_heard_at",
        "_options",
        "_outage_since",
        "_stage",
        "_typescript",
        "handshake_timeout",
        "pauses",
    )

    def __init__(
        self, options: Options, now: float, *, typescript: bool = False, ended: bool = False
    ) -> None:
        self._options = options
        self._typescript = typescript
        self._ended = ended
        self.handshake_timeout = options.handshake_timeout
        if ended:
            self.handshake_timeout = min(self.handshake_timeout, _ENDED_TIMEOUT)
        self.pauses = Backoff(_FIRST_PAUSE)
        self._stage = _Stage.HANDSHAKE
        self._began = self._heard_at = self._asked_at = now
        self._asking_since: float | None = None  # the first question that is still open
        self._contradicted = False
        self._check_at = now + _CHECK_FIRST
        self._outage_since: float | None = None
        self._disturbed_at: float | None = None

    @property
    def attached(self) -> bool:
        """The producer has answered the first handshake."""
        return self._stage is not _Stage.HANDSHAKE

    @property
    def shaking_hands(self) -> bool:
        """The answer to a handshake is still to come."""
        return self._stage is not _Stage.FOLLOWING

    @property
    def awaiting_answer(self) -> bool:
        """The answer to a handshake, or to a question, is still to come."""
        return self._asking_since is not None or self._stage is not _Stage.FOLLOWING

    @property
    def tolerance(self) -> float:
        """How long the broker may be away."""
        return self._options.outage_timeout if self.attached else self.handshake_timeout

    # What the reader has met

    def shake_hands(self) -> None:
        """A handshake begins."""
        if self._stage is _Stage.FOLLOWING:
            self._stage = _Stage.REPAIR

    def attach(self) -> None:
        """The handshake was answered."""
        self._stage = _Stage.FOLLOWING

    def heard(self, now: float) -> None:
        """Something came from the producer."""
        self._heard_at = now
        self._asking_since = None
        self._contradicted = False
        self.pauses.upcoming = _NEXT_PAUSE

    def asked(self, now: float) -> None:
        """The producer is being asked."""
        self._asked_at = now
        if self._asking_since is None:
            self._asking_since = now

    def sent(self, now: float) -> None:
        """The question is sent only now: the time to answer it begins here."""
        self._asked_at = now

    def contradicted(self, now: float) -> None:
        """A producer of another generation answered: look up at once which of them is right."""
        self._contradicted = True
        self._check_at = now

    def suspect(self, now: float) -> None:
        """Something unreadable came: in silence, look up at once."""
        self._check_at = now

    def checking(self, now: float) -> None:
        """The stream is being looked up."""
        often = min(_CHECK_EVERY, self._options.lease / 10)
        self._check_at = now + (often if self.attached else self.pauses.upcoming)

    def disturbed(self, now: float) -> None:
        """The broker may have lost messages."""
        self._disturbed_at = now

    def answered(self, asked: float, now: float) -> None:
        """The broker has answered a call that was made at ``asked``."""
        self._outage_since = None
        if now - asked > min(_SLOW, self._options.lease / 5):
            self._disturbed_at = now

    def failed(self, now: float, *, lasting: bool) -> Verdict:
        """Conclude from a failure of the broker; a ``lasting`` one will not pass by itself."""
        if lasting and not self.attached:
            return Verdict.UNAVAILABLE
        self._disturbed_at = now
        self._asking_since = None
        if self._outage_since is None:
            self._outage_since = now
        if now - self._outage_since >= self.tolerance:
            return Verdict.UNAVAILABLE
        return Verdict.ASK

    # What follows from it

    def verdict(self, now: float) -> Verdict:
        """Conclude from silence."""
        if not self._is_silent(now):
            return Verdict.ALIVE
        due = self._asking_since is not None if self._typescript else now >= self._check_at
        return Verdict.CHECK if due else Verdict.ASK

    def due(self, now: float) -> float:
        """Tell when the verdict may be another one, though nothing comes."""
        if self._typescript and self.awaiting_answer:
            return self._asked_at + ANSWER_TIMEOUT
        if not self._typescript and self._is_silent(now):
            return self._check_at
        return self._heard_at + self._options.lease / 2

    def weigh(self, sighting: Sighting, now: float) -> Verdict:
        """Conclude from what the look-up found that a ``CHECK`` asked for."""
        if not self.attached:
            return self._weigh_in_handshake(sighting, now)
        if sighting is Sighting.ANOTHER:
            return Verdict.MOVED
        lease, outage = self._options.lease, self._options.outage_timeout
        if self._disturbed_at is not None and now - self._disturbed_at < lease:
            lost = now - self._heard_at > outage + lease
        else:
            asked, patience = self._asking_since, lease
            if self._typescript:
                patience = lease / 2
            elif sighting is Sighting.ACTIVE:
                patience = max(lease, outage)
            unanswered = asked is not None and now - asked >= patience
            lost = sighting is Sighting.MISSING or unanswered
        return Verdict.LOST if lost else Verdict.ASK

    def _weigh_in_handshake(self, sighting: Sighting, now: float) -> Verdict:
        as_begun = sighting is Sighting.ACTIVE or (self._ended and sighting is Sighting.OVER)
        if not as_begun:
            return Verdict.MOVED
        return Verdict.TIMED_OUT if now - self._began >= self.handshake_timeout else Verdict.ASK

    def _is_silent(self, now: float) -> bool:
        """Tell whether the producer ought to have been heard by now."""
        if self._typescript:
            if self.awaiting_answer:
                return now >= self._asked_at + ANSWER_TIMEOUT
        elif self._contradicted or not self.attached:
            return True
        return now - self._heard_at >= self._options.lease / 2
