"""What a remote reader concludes from words and silence: each row is a sentence of the protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from resumable_stream import Options
from resumable_stream._reading.liveness import Liveness, Sighting, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

LEASE = 15.0
OUTAGE = 60.0
HANDSHAKE = 5.0
BEGAN = 1000.0

ALIVE, ASK, CHECK = Verdict.ALIVE, Verdict.ASK, Verdict.CHECK
LOST, MOVED, TIMED_OUT = Verdict.LOST, Verdict.MOVED, Verdict.TIMED_OUT
ACTIVE, OVER, MISSING, ANOTHER = Sighting


def liveness(*, attached: bool = True, options: dict[str, float] | None = None, **of: bool) -> Any:
    """Know of a producer that was heard, if attached, at ``BEGAN``; all times count from then."""
    chosen: dict[str, Any] = {
        "lease": LEASE,
        "outage_timeout": OUTAGE,
        "handshake_timeout": HANDSHAKE,
    }
    made = Liveness(Options(**chosen | (options or {})), BEGAN, **of)
    if attached:
        made.heard(BEGAN)
        made.attach()
    return Timed(made)


class Timed:
    """Takes the time as seconds since ``BEGAN``."""

    def __init__(self, made: Liveness) -> None:
        self.made = made

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            moved = [BEGAN + one if isinstance(one, int | float) else one for one in arguments]
            return getattr(self.made, name)(*moved, **named)

        return call


# Silence


@pytest.mark.parametrize(
    ("at", "verdict"),
    [
        pytest.param(0, ASK, id="the request is repeated until it is answered"),
        pytest.param(0.19, ASK, id="and the sentinel not read before some answers were lost"),
        pytest.param(0.2, CHECK, id="but then read in between"),
        pytest.param(4, CHECK, id="for as long as nobody answers"),
    ],
)
@pytest.mark.rule("LSN-1")
def test_in_the_handshake_no_silence_is_normal(at: float, verdict: Verdict) -> None:
    assert liveness(attached=False).verdict(at) is verdict


@pytest.mark.parametrize(
    ("pauses", "next_at"),
    [(0, 1.03), (1, 1.06), (3, 1.24), (9, 2.0)],
)
@pytest.mark.rule("LSN-1")
def test_in_the_handshake_the_sentinel_is_read_as_often_as_is_asked(
    pauses: int, next_at: float
) -> None:
    shaking = liveness(attached=False)
    for _ in range(pauses):
        shaking.made.pauses.next()
    shaking.checking(1)
    assert shaking.due(1) == BEGAN + next_at
    assert shaking.verdict(next_at - 0.01) is ASK
    assert shaking.verdict(next_at + 0.01) is CHECK


@pytest.mark.parametrize(
    ("at", "verdict"),
    [
        pytest.param(0, ALIVE, id="it was heard just now"),
        pytest.param(LEASE / 2 - 0.1, ALIVE, id="heartbeats are not half a lease apart"),
        pytest.param(LEASE / 2, CHECK, id="after half a lease it asks and reads the sentinel"),
        pytest.param(100, CHECK, id="for as long as it takes"),
    ],
)
@pytest.mark.rule("LSN-3", "LSN-5")
def test_silence_is_normal_for_half_a_lease(at: float, verdict: Verdict) -> None:
    attached = liveness()
    assert attached.verdict(at) is verdict
    attached.asked(0)
    assert attached.verdict(at) is verdict, "a question may wait as long"


@pytest.mark.parametrize(
    ("lease", "often"),
    [(15.0, 1.0), (10.0, 1.0), (5.0, 0.5), (1.0, 0.1)],
)
@pytest.mark.rule("LSN-5")
def test_in_silence_the_sentinel_is_read_every_second_and_ten_times_a_lease(
    lease: float, often: float
) -> None:
    silent = liveness(options={"lease": lease})
    silent.checking(100)
    assert silent.due(100) == BEGAN + 100 + often
    assert silent.verdict(100 + often - 0.01) is ASK
    assert silent.verdict(100 + often) is CHECK


@pytest.mark.rule("LSN-3")
def test_whatever_is_heard_ends_the_silence() -> None:
    silent = liveness()
    assert silent.due(3) == BEGAN + LEASE / 2
    silent.heard(10)
    assert silent.verdict(10) is ALIVE
    assert silent.due(10) == BEGAN + 10 + LEASE / 2


@pytest.mark.rule("LSN-1")
def test_once_something_was_heard_questions_are_repeated_more_slowly() -> None:
    shaking = liveness(attached=False)
    pauses = shaking.made.pauses
    assert [pauses.next() for _ in range(7)] == [0.03, 0.06, 0.12, 0.24, 0.48, 0.96, 1.0]
    shaking.heard(3)
    assert [pauses.next() for _ in range(4)] == [0.25, 0.5, 1.0, 1.0]


@pytest.mark.rule("LSN-5", "FRM-6")
def test_the_word_of_another_generation_makes_the_sentinel_read_at_once() -> None:
    contradicted = liveness()
    contradicted.checking(1)
    contradicted.contradicted(1)
    assert contradicted.verdict(1) is CHECK
    assert contradicted.due(1) == BEGAN + 1
    contradicted.checking(1)
    assert contradicted.verdict(1) is ASK
    assert contradicted.verdict(2) is CHECK
    contradicted.heard(3)
    assert contradicted.verdict(3) is ALIVE


@pytest.mark.rule("LSN-8")
@pytest.mark.parametrize(("attached", "verdict"), [(False, CHECK), (True, ALIVE)])
def test_an_unframed_message_makes_the_sentinel_read_at_once_unless_the_producer_is_heard(
    verdict: Verdict, *, attached: bool
) -> None:
    odd = liveness(attached=attached)
    odd.checking(1)
    odd.suspect(1)
    assert odd.verdict(1) is verdict


@pytest.mark.rule("V1-4")
@pytest.mark.parametrize("attached", [False, True])
def test_a_typescript_producer_has_a_second_to_answer(*, attached: bool) -> None:
    asked = liveness(attached=attached, typescript=True)
    asked.shake_hands()
    assert asked.made.shaking_hands
    asked.asked(2)
    assert asked.due(2) == BEGAN + 3
    assert asked.verdict(2.9) is ALIVE
    asked.sent(2.5)  # it took long to subscribe
    assert asked.due(3) == BEGAN + 3.5
    assert asked.verdict(3.4) is ALIVE
    assert asked.verdict(3.5) is CHECK
    asked.failed(3.5, lasting=False)
    assert asked.verdict(3.5) is ASK, "the broker has failed: the question counts as never asked"
    asked.heard(4)
    asked.attach()
    assert not asked.made.shaking_hands
    assert asked.verdict(4) is ALIVE


@pytest.mark.rule("V1-4")
def test_a_typescript_producer_is_asked_after_half_a_lease_of_silence() -> None:
    silent = liveness(typescript=True)
    assert silent.due(0) == BEGAN + LEASE / 2
    assert silent.verdict(LEASE / 2 - 0.1) is ALIVE
    assert silent.verdict(LEASE / 2) is ASK
    silent.asked(LEASE / 2)
    assert silent.made.awaiting_answer
    assert silent.verdict(LEASE / 2 + 0.9) is ALIVE
    assert silent.verdict(LEASE / 2 + 1) is CHECK


# What the look-up proves


@pytest.mark.parametrize(
    ("sighting", "ended", "at", "verdict"),
    [
        pytest.param(ACTIVE, False, 4.9, ASK, id="the producer may not have subscribed yet"),
        pytest.param(ACTIVE, False, 5.0, TIMED_OUT, id="but not for ever"),
        pytest.param(OVER, False, 0.2, MOVED, id="it ended meanwhile"),
        pytest.param(MISSING, False, 0.2, MOVED, id="its lease ran out meanwhile"),
        pytest.param(ANOTHER, False, 0.2, MOVED, id="somebody else took it over"),
        pytest.param(OVER, True, 1.9, ASK, id="a stream that is over may still be served"),
        pytest.param(OVER, True, 2.0, TIMED_OUT, id="which takes no more than two seconds"),
        pytest.param(ACTIVE, True, 1.9, ASK, id="nor does it when its end is not seen"),
        pytest.param(MISSING, True, 0.2, MOVED, id="its end was forgotten"),
        pytest.param(ANOTHER, True, 0.2, MOVED, id="somebody produces it again"),
    ],
)
@pytest.mark.rule("LSN-1", "END-6")
def test_a_handshake_lasts_until_the_sentinel_says_something_else_or_its_time_is_over(
    sighting: Sighting, at: float, verdict: Verdict, *, ended: bool
) -> None:
    shaking = liveness(attached=False, ended=ended)
    shaking.asked(0)
    assert shaking.weigh(sighting, at) is verdict
    shaking.disturbed(at)
    assert shaking.weigh(sighting, at) is verdict, "trouble makes no difference"


@pytest.mark.parametrize(
    ("sighting", "unanswered", "verdict"),
    [
        pytest.param(ANOTHER, 0, MOVED, id="another generation supersedes it"),
        pytest.param(MISSING, 0, LOST, id="a missing sentinel: the producer is lost"),
        pytest.param(ACTIVE, OUTAGE - 0.1, ASK, id="its own: it is alive, and asked on"),
        pytest.param(ACTIVE, OUTAGE, LOST, id="after the outage time it is given up"),
        pytest.param(OVER, LEASE - 0.1, ASK, id="its own end: it is asked for the rest"),
        pytest.param(OVER, LEASE, LOST, id="for one lease"),
    ],
)
@pytest.mark.rule("LSN-5")
def test_what_the_sentinel_says_during_silence(
    sighting: Sighting, unanswered: float, verdict: Verdict
) -> None:
    silent = liveness()
    if unanswered:
        silent.asked(10)
        silent.asked(11)
    assert silent.weigh(sighting, 10 + unanswered) is verdict
    if verdict is LOST and unanswered:
        silent.heard(10 + unanswered)
        assert silent.weigh(sighting, 10 + unanswered) is ASK, "an answer closes the question"


@pytest.mark.parametrize("sighting", [ACTIVE, OVER])
@pytest.mark.rule("LSN-5")
def test_silence_without_an_open_question_proves_nothing(sighting: Sighting) -> None:
    assert liveness().weigh(sighting, 1000) is ASK


@pytest.mark.rule("LSN-5")
def test_a_live_producer_is_asked_for_a_lease_though_no_outage_is_tolerated() -> None:
    silent = liveness(options={"outage_timeout": 0})
    silent.asked(0)
    assert silent.weigh(ACTIVE, LEASE - 0.1) is ASK
    assert silent.weigh(ACTIVE, LEASE) is LOST


@pytest.mark.parametrize(
    ("sighting", "unanswered", "verdict"),
    [
        pytest.param(ANOTHER, 0, MOVED, id="over, or taken over"),
        pytest.param(MISSING, 0, LOST, id="gone"),
        pytest.param(ACTIVE, LEASE / 2 - 0.1, ASK, id="probed again"),
        pytest.param(ACTIVE, LEASE / 2, LOST, id="its sentinel stays for a day, whoever lives"),
    ],
)
@pytest.mark.rule("V1-4", "V1-6")
def test_what_a_typescript_producers_sentinel_says_during_silence(
    sighting: Sighting, unanswered: float, verdict: Verdict
) -> None:
    silent = liveness(typescript=True)
    silent.asked(10)
    assert silent.weigh(sighting, 10 + unanswered) is verdict


@pytest.mark.parametrize("typescript", [False, True])
@pytest.mark.parametrize(
    ("sighting", "at", "verdict"),
    [
        pytest.param(MISSING, LEASE - 0.1, ASK, id="a missing sentinel proves nothing"),
        pytest.param(MISSING, LEASE, LOST, id="for one lease"),
        pytest.param(ACTIVE, LEASE - 0.1, ASK, id="nor does silence"),
        pytest.param(ANOTHER, 0, MOVED, id="another's sentinel does"),
    ],
)
@pytest.mark.rule("LSN-6")
def test_after_trouble_with_the_broker(
    sighting: Sighting, at: float, verdict: Verdict, *, typescript: bool
) -> None:
    troubled = liveness(typescript=typescript)
    troubled.asked(-10 * OUTAGE)
    troubled.disturbed(0)
    assert troubled.weigh(sighting, at) is verdict


@pytest.mark.rule("LSN-6", "P4")
@pytest.mark.parametrize("sighting", [ACTIVE, OVER, MISSING])
def test_trouble_that_never_ends_is_no_reason_to_wait_for_ever(sighting: Sighting) -> None:
    troubled = liveness()
    troubled.disturbed(OUTAGE + LEASE)
    assert troubled.weigh(sighting, OUTAGE + LEASE) is ASK
    assert troubled.weigh(sighting, OUTAGE + LEASE + 0.1) is LOST


@pytest.mark.rule("LSN-6", "FRM-6")
@pytest.mark.parametrize("sighting", [ACTIVE, OVER, MISSING])
def test_nor_does_the_word_of_another_generation_prove_anything_after_trouble(
    sighting: Sighting,
) -> None:
    troubled = liveness()
    troubled.disturbed(0)
    troubled.contradicted(0)
    assert troubled.weigh(sighting, 0) is ASK
    troubled.disturbed(OUTAGE + LEASE)
    assert troubled.weigh(sighting, OUTAGE + LEASE + 0.1) is LOST


@pytest.mark.parametrize(
    ("lease", "took", "troubled"),
    [
        pytest.param(15.0, 1.0, False, id="a second is nothing"),
        pytest.param(15.0, 1.1, True, id="more is trouble"),
        pytest.param(2.0, 0.4, False, id="so is a fifth of a short lease"),
        pytest.param(2.0, 0.5, True, id="and more than that"),
    ],
)
@pytest.mark.rule("LSN-6")
def test_a_slow_answer_counts_as_trouble(lease: float, took: float, *, troubled: bool) -> None:
    asked = liveness(options={"lease": lease})
    asked.answered(1, 1 + took)
    assert asked.weigh(MISSING, 1 + took) is (ASK if troubled else LOST)


@pytest.mark.rule("LSN-6")
def test_a_failure_of_the_broker_counts_as_trouble_and_closes_the_question() -> None:
    failed = liveness()
    failed.asked(0)
    assert failed.failed(1, lasting=False) is ASK
    assert failed.weigh(MISSING, LEASE) is ASK
    assert failed.weigh(ACTIVE, OUTAGE + LEASE) is ASK, "it is to be asked anew"
    assert failed.weigh(MISSING, LEASE + 1) is LOST


# Outages


@pytest.mark.parametrize(
    ("attached", "lasting", "since", "verdict"),
    [
        pytest.param(True, False, OUTAGE - 0.1, ASK, id="it stays away"),
        pytest.param(True, False, OUTAGE, Verdict.UNAVAILABLE, id="for the outage time"),
        pytest.param(True, True, OUTAGE - 0.1, ASK, id="it does not allow what it did"),
        pytest.param(True, True, OUTAGE, Verdict.UNAVAILABLE, id="for as long"),
        pytest.param(False, False, HANDSHAKE - 0.1, ASK, id="it is away in the handshake"),
        pytest.param(False, False, HANDSHAKE, Verdict.UNAVAILABLE, id="for that time-out"),
        pytest.param(False, True, 0, Verdict.UNAVAILABLE, id="it does not allow the request"),
    ],
)
@pytest.mark.rule("LSN-7")
def test_a_broker_that_stays_away(
    since: float, verdict: Verdict, *, attached: bool, lasting: bool
) -> None:
    away = liveness(attached=attached)
    if since:
        assert away.failed(100, lasting=False) is ASK
    assert away.failed(100 + since, lasting=lasting) is verdict
    assert away.made.tolerance == (OUTAGE if attached else HANDSHAKE)


@pytest.mark.rule("LSN-7")
def test_an_answer_ends_the_outage() -> None:
    away = liveness()
    assert away.failed(0, lasting=False) is ASK
    away.answered(50, 50)
    assert away.failed(OUTAGE, lasting=False) is ASK
    assert away.failed(2 * OUTAGE, lasting=False) is Verdict.UNAVAILABLE
