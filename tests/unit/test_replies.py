"""What is owed to requests: newcomers' first pieces are small, and sent before more is cut."""

from __future__ import annotations

from resumable_stream._producing.replies import Replies, Reply
from resumable_stream._protocol.wire import DataFrame, Request
from resumable_stream._text.log import Log
from resumable_stream._text.offsets import OffsetUnit
from support.virtual_time import in_virtual_time
from support.world import text_of

CHUNKS = 10_000


def owing(*listeners: tuple[str, bool]) -> Replies:
    log = Log(10**9)
    for _ in range(CHUNKS):
        log.append("x" * 40)
    replies = Replies(1, log, OffsetUnit.UTF16)
    for listener, first in listeners:
        reply = replies.answer(Request(listener, window=10**6), first=first)
        assert isinstance(reply, Reply)
        replies.owe(listener, reply)
    return replies


@in_virtual_time
async def test_first_pieces_of_newcomers_are_small_and_go_by_themselves() -> None:
    replies = owing(("a", True), ("b", True))
    taken = list(replies.pieces(10**6))
    assert [listener for listener, _ in taken] == ["a", "b"]
    for _, frame in taken:
        assert isinstance(frame, DataFrame)
        assert 0 < len(frame.joined.data) <= 16 * 1024
        assert not frame.last
    assert len(replies) == 2
    rest = list(replies.pieces(10**6))
    assert [listener for listener, _ in rest] == ["a", "b"] * (len(rest) // 2)
    for name in ("a", "b"):
        frames = [frame for listener, frame in taken + rest if listener == name]
        assert text_of(list(frames)) == "x" * 40 * CHUNKS
        assert [frame.last for frame in frames if isinstance(frame, DataFrame)].count(True) == 1
    assert not replies


@in_virtual_time
async def test_who_waits_already_is_served_before_a_newcomer_ends_the_turn() -> None:
    replies = owing(("old", False), ("new", True), ("older", False))
    assert [listener for listener, _ in replies.pieces(10**6)] == ["old", "new"]
    assert next(iter(replies.pieces(10**6)))[0] == "older"
