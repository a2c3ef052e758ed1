from __future__ import annotations

from resumable_stream._backoff import Backoff


def test_each_pause_is_twice_the_one_before_up_to_the_longest() -> None:
    backoff = Backoff(0.25, longest=1.5)
    assert [backoff.next() for _ in range(5)] == [0.25, 0.5, 1.0, 1.5, 1.5]


def test_success_begins_with_the_first_pause_again() -> None:
    backoff = Backoff(0.25)
    for _ in range(8):
        backoff.next()
    backoff.reset()
    assert (backoff.upcoming, backoff.next(), backoff.next()) == (0.25, 0.25, 0.5)
