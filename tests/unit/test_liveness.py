"""What a remote reader concludes about its producer: each row is a sentence of the protocol."""

from __future__ import annotations

import pytest

from resumable_stream._reading.liveness import Sighting, Verdict
from support.liveness import HANDSHAKE, LEASE, OUTAGE, liveness

ASK, LOST, MOVED, TIMED_OUT, UNAVAILABLE = (
    Verdict.ASK,
    Verdict.LOST,
    Verdict.MOVED,
    Verdict.TIMED_OUT,
    Verdict.UNAVAILABLE,
)
ACTIVE, OVER, MISSING, ANOTHER = Sighting


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
    silent = liveness(outage_timeout=0)
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
    asked = liveness(lease=lease)
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
        pytest.param(True, False, OUTAGE, UNAVAILABLE, id="for the outage time"),
        pytest.param(True, True, OUTAGE - 0.1, ASK, id="it does not allow what it did"),
        pytest.param(True, True, OUTAGE, UNAVAILABLE, id="for as long"),
        pytest.param(False, False, HANDSHAKE - 0.1, ASK, id="it is away in the handshake"),
        pytest.param(False, False, HANDSHAKE, UNAVAILABLE, id="for that time-out"),
        pytest.param(False, True, 0, UNAVAILABLE, id="it does not allow the request"),
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
    assert away.tolerance == (OUTAGE if attached else HANDSHAKE)


@pytest.mark.rule("LSN-7")
def test_an_answer_ends_the_outage() -> None:
    away = liveness()
    assert away.failed(0, lasting=False) is ASK
    away.answered(50, 50)
    assert away.failed(OUTAGE, lasting=False) is ASK
    assert away.failed(2 * OUTAGE, lasting=False) is UNAVAILABLE
