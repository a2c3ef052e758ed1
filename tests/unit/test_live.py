"""What the cursor of a live channel sends, and when; the tests pass the time in."""

from __future__ import annotations

import pytest

from resumable_stream._producing.live import Live
from resumable_stream._protocol.places import Place
from resumable_stream._protocol.wire import DataFrame, EndFrame
from resumable_stream._text.endings import Ending, Status
from resumable_stream._text.log import Log

GENERATION = 7
INTERVAL = 3.0
ROOM = 1_000
NOW = 100.0
END = EndFrame(GENERATION, 1, Ending(Status.COMPLETED))


def live_after(*chunks: str, limit: int = 1_000_000) -> tuple[Live, Log]:
    """Return a cursor that began at ``NOW``, and its log with chunks that came afterwards."""
    log = Log(limit)
    live = Live(GENERATION, log, INTERVAL)
    live.begin(NOW)
    for chunk in chunks:
        log.append(chunk)
    return live, log


def texts(live: Live, now: float, room: int = ROOM) -> list[DataFrame]:
    frames = []
    while (frame := live.next_text(now, room)) is not None:
        frames.append(frame)
    return frames


@pytest.mark.parametrize(
    ("chunks", "ended", "has_text"),
    [((), False, False), (("a",), False, True), (("a", "b"), False, True), ((), True, False)],
    ids=["heartbeat", "text", "more text", "end"],
)
def test_what_is_there_tells_what_is_due(
    chunks: tuple[str, ...], *, ended: bool, has_text: bool
) -> None:
    live, _ = live_after(*chunks)
    if ended:
        live.announce(END)
    assert (live.has_text(), live.owes_end) == (has_text, ended)
    assert live.heartbeat_at == NOW + INTERVAL
    texts(live, NOW)
    assert not live.has_text()


@pytest.mark.parametrize(
    ("now", "chunks", "ended", "sent"),
    [
        (NOW + 0.001, (), False, []),
        (NOW + 0.001, ("a",), False, ["text"]),
        (NOW + INTERVAL - 0.001, (), False, []),
        (NOW + INTERVAL, (), False, ["heartbeat"]),
        (NOW + INTERVAL, ("a",), False, ["text"]),
        (NOW, (), True, ["end"]),
        (NOW, ("a",), True, ["text", "end"]),
        (NOW + INTERVAL, ("a",), True, ["text", "end"]),
    ],
)
def test_what_is_due_is_sent_and_then_nothing_for_a_while(
    now: float, chunks: tuple[str, ...], *, ended: bool, sent: list[str]
) -> None:
    live, log = live_after(*chunks)
    if ended:
        live.announce(END)
    heartbeat = DataFrame(GENERATION, Place(log.end), end=log.end)
    kinds: list[str] = []
    for frame in (*texts(live, now), live.next_sign(now)):
        match frame:
            case None:
                continue
            case EndFrame():
                kinds.append("end")
            case _:
                kinds.append("heartbeat" if frame == heartbeat else "text")
    assert kinds == sent
    assert (texts(live, now), live.next_sign(now)) == ([], None)
    assert live.heartbeat_at == (now if sent else NOW) + INTERVAL


def test_text_is_cut_to_what_a_frame_has_room_for() -> None:
    live, log = live_after(*["x" * 40] * 10)
    frames = texts(live, NOW, room=100)
    assert [frame.place.sequence for frame in frames] == [0, 2, 4, 6, 8]
    assert {frame.end for frame in frames} == {log.end}


def test_text_from_before_the_first_follower_is_not_sent() -> None:
    log = Log(1_000_000)
    log.append("before")
    live = Live(GENERATION, log, INTERVAL)
    live.begin(NOW)
    log.append("after")
    (frame,) = texts(live, NOW)
    assert (frame.place, frame.texts) == (Place(1), ["after"])


def test_text_that_is_trimmed_away_is_passed_over() -> None:
    live, log = live_after(*["x" * 100] * 50, limit=1_000)
    assert log.first > 0
    assert texts(live, NOW) == []
    log.append("new")
    (frame,) = texts(live, NOW)
    assert frame.place == Place(50)


def test_a_failure_sends_no_text_again_and_makes_a_heartbeat_due() -> None:
    live, log = live_after("a")
    assert texts(live, NOW)
    log.append("meanwhile")
    live.fail()
    assert texts(live, NOW) == []
    assert live.next_sign(NOW) == DataFrame(GENERATION, Place(2), end=2)


def test_hurry_makes_a_heartbeat_due() -> None:
    live, _ = live_after()
    live.hurry()
    assert live.heartbeat_at <= NOW
    assert live.next_sign(NOW) == DataFrame(GENERATION, Place(0), end=0)


def test_the_end_is_told_again_with_each_heartbeat_and_after_a_failure() -> None:
    live, _ = live_after("a")
    live.announce(END)
    assert texts(live, NOW)
    assert live.next_sign(NOW) == END
    assert live.next_sign(NOW + INTERVAL - 0.001) is None
    assert live.next_sign(NOW + INTERVAL) == END
    live.fail()
    assert live.owes_end
    assert live.next_sign(NOW) == END


def test_a_failure_before_the_end_owes_none() -> None:
    live, _ = live_after("a")
    live.fail()
    assert not live.owes_end


def test_an_end_that_nobody_follows_is_owed_to_nobody() -> None:
    live, _ = live_after()
    live.announce(END)
    live.skip_end()
    assert not live.owes_end
    assert live.next_sign(NOW) is None
