"""Replies that are owed: newcomers get small first pieces, before more is cut for others."""

from __future__ import annotations

import pytest

from resumable_stream._producing.replies import Replies, Reply
from resumable_stream._protocol.wire import DataFrame, Frame, Request
from resumable_stream._text.log import Log
from resumable_stream._text.offsets import OffsetUnit
from support.virtual_time import in_virtual_time
from support.world import text_of

CHUNKS = 10_000


def owing(*listeners: tuple[str, bool], window: int = 10**6) -> Replies:
    log = Log(10**9)
    for _ in range(CHUNKS):
        log.append("x" * 40)
    replies = Replies(1, log, OffsetUnit.UTF16)
    for listener, first in listeners:
        reply = replies.answer(Request(listener, window=window), first=first)
        assert isinstance(reply, Reply)
        replies.owe(listener, reply)
    return replies


def pieces(replies: Replies) -> list[tuple[str, Frame]]:
    """Take all that is owed, one piece for each listener in turn."""
    found: list[tuple[str, Frame]] = []
    while replies:
        listener = replies.longest_waiting()
        found.append((listener, replies.next_piece(listener, 10**6)))
    return found


@in_virtual_time
async def test_first_pieces_of_newcomers_are_small() -> None:
    replies = owing(("a", True), ("b", True))
    assert replies.newcomers() == ["a", "b"]
    taken = [(listener, replies.next_piece(listener, 10**6)) for listener in replies.newcomers()]
    for _, frame in taken:
        assert isinstance(frame, DataFrame)
        assert 0 < len(frame.joined.data) <= 16 * 1024
        assert not frame.last
    assert (replies.newcomers(), len(replies)) == ([], 2)
    rest = pieces(replies)
    assert [listener for listener, _ in rest] == ["a", "b"] * (len(rest) // 2)
    for name in ("a", "b"):
        frames = [frame for listener, frame in taken + rest if listener == name]
        assert text_of(list(frames)) == "x" * 40 * CHUNKS
        assert [frame.last for frame in frames if isinstance(frame, DataFrame)].count(True) == 1


@pytest.mark.rule("REQ-3")
@pytest.mark.parametrize(("window", "sizes"), [(39, [39]), (40, [40]), (80, [40]), (121, [81])])
@in_virtual_time
async def test_an_answer_ends_once_no_chunk_fits_the_rest_of_its_window(
    window: int, sizes: list[int]
) -> None:
    replies = owing(("a", True), window=window)
    frames = [frame for _, frame in pieces(replies) if isinstance(frame, DataFrame)]
    assert [len(frame.joined.data) for frame in frames] == sizes
    assert [frame.last for frame in frames] == [True]


@in_virtual_time
async def test_a_newcomer_is_known_among_those_who_wait() -> None:
    replies = owing(("old", False), ("new", True), ("older", False))
    assert replies.newcomers() == ["new"]
    assert replies.longest_waiting() == "old"
    replies.next_piece("new", 10**6)
    assert (replies.newcomers(), replies.longest_waiting()) == ([], "old")


@in_virtual_time
async def test_who_leaves_is_owed_nothing() -> None:
    replies = owing(("new", True))
    replies.drop("new")
    assert (replies.newcomers(), len(replies)) == ([], 0)
