"""When a remote reader finds its producer too silent: each row is a sentence of the protocol."""

from __future__ import annotations

import pytest

from resumable_stream._reading.liveness import Verdict
from support.liveness import LEASE, liveness

ALIVE, ASK, CHECK = Verdict.ALIVE, Verdict.ASK, Verdict.CHECK


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
        shaking.pauses.next()
    shaking.checking(1)
    assert shaking.due(1) == next_at
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
    silent = liveness(lease=lease)
    silent.checking(100)
    assert silent.due(100) == 100 + often
    assert silent.verdict(100 + often - 0.01) is ASK
    assert silent.verdict(100 + often) is CHECK


@pytest.mark.rule("LSN-3")
def test_whatever_is_heard_ends_the_silence() -> None:
    silent = liveness()
    assert silent.due(3) == LEASE / 2
    silent.heard(10)
    assert silent.verdict(10) is ALIVE
    assert silent.due(10) == 10 + LEASE / 2


@pytest.mark.rule("LSN-1")
def test_once_something_was_heard_questions_are_repeated_more_slowly() -> None:
    shaking = liveness(attached=False)
    pauses = shaking.pauses
    assert [pauses.next() for _ in range(7)] == [0.03, 0.06, 0.12, 0.24, 0.48, 0.96, 1.0]
    shaking.heard(3)
    assert [pauses.next() for _ in range(4)] == [0.25, 0.5, 1.0, 1.0]


@pytest.mark.rule("LSN-5", "FRM-6")
def test_the_word_of_another_generation_makes_the_sentinel_read_at_once() -> None:
    contradicted = liveness()
    contradicted.checking(1)
    contradicted.contradicted(1)
    assert contradicted.verdict(1) is CHECK
    assert contradicted.due(1) == 1
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
    assert asked.shaking_hands
    asked.asked(2)
    assert asked.due(2) == 3
    assert asked.verdict(2.9) is ALIVE
    asked.sent(2.5)  # subscribing took long
    assert asked.due(3) == 3.5
    assert asked.verdict(3.4) is ALIVE
    assert asked.verdict(3.5) is CHECK
    asked.failed(3.5, lasting=False)
    assert asked.verdict(3.5) is ASK, "the broker has failed: the question counts as never asked"
    asked.heard(4)
    asked.attach()
    assert not asked.shaking_hands
    assert asked.verdict(4) is ALIVE


@pytest.mark.rule("V1-4")
def test_a_typescript_producer_is_asked_after_half_a_lease_of_silence() -> None:
    silent = liveness(typescript=True)
    assert silent.due(0) == LEASE / 2
    assert silent.verdict(LEASE / 2 - 0.1) is ALIVE
    assert silent.verdict(LEASE / 2) is ASK
    silent.asked(LEASE / 2)
    assert silent.awaiting_answer
    assert silent.verdict(LEASE / 2 + 0.9) is ALIVE
    assert silent.verdict(LEASE / 2 + 1) is CHECK
