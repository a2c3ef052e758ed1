from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resumable_stream._producing.pieces import cut
from resumable_stream._protocol.places import Place
from resumable_stream._protocol.wire import DataFrame, EndFrame
from resumable_stream._reading.assembly import Assembly
from resumable_stream._text.endings import Ending, Status
from resumable_stream._text.log import Log
from support.world import data_frame

CHUNKS = st.lists(st.text(st.characters(exclude_categories=()), max_size=30), max_size=20)


def frames_of(chunks: list[str], size: int) -> list[DataFrame]:
    log = Log(1_000_000)
    for chunk in chunks:
        log.append(chunk)
    place, frames = Place(0), []
    while place.sequence < log.end:
        joined, partial, after = cut(log, place, size)
        assert len(joined.data) + sum(len(f"{length},") for length in joined.lengths) <= size
        frames.append(DataFrame(1, place, joined, partial=partial, end=log.end, offset=0))
        place = after
    return frames


@given(CHUNKS, st.integers(4, 60))
def test_pieces_of_any_size_give_the_chunks_back(chunks: list[str], size: int) -> None:
    assembly = Assembly(hold=0)
    assert [
        chunk for frame in frames_of(chunks, size) for chunk in assembly.accept(frame)
    ] == chunks
    assert not assembly.behind or not chunks


@pytest.mark.rule("FRM-3")
@settings(max_examples=300)
@given(
    CHUNKS, st.lists(st.integers(4, 60), min_size=1, max_size=3), st.integers(), st.integers(0, 200)
)
def test_disorder_doubles_and_overlap_change_nothing(
    chunks: list[str], sizes: list[int], seed: int, hold: int
) -> None:
    rng = random.Random(seed)
    frames = [frame for size in sizes for frame in frames_of(chunks, size)]
    assembly = Assembly(hold=hold, place=Place(0))
    got: list[str] = []
    for _ in range(len(frames) + 1):
        rng.shuffle(frames)
        for frame in frames:
            got += assembly.accept(frame)
    assert got == chunks


@pytest.mark.rule("FRM-3")
def test_whole_chunks_and_a_part_of_one_may_share_a_frame() -> None:
    assembly = Assembly(hold=0, place=Place(0))
    assert assembly.accept(data_frame(Place(0), b"ab", b"c", b"d", partial=True, end=3)) == [
        "ab",
        "c",
    ]
    assert assembly.place == Place(2, 1)
    assert assembly.behind
    assert assembly.accept(data_frame(Place(2, 1), b"ef", b"g", end=4)) == ["def", "g"]
    assert assembly.place == Place(4)
    assert not assembly.behind


def test_frames_before_the_first_reply_are_ignored() -> None:
    assembly = Assembly(hold=100)
    assert assembly.accept(data_frame(Place(3), b"x", end=4)) == []
    assert assembly.accept(data_frame(Place(2), b"y", end=4, offset=9)) == ["y"]
    assert assembly.behind


def test_a_gap_is_seen() -> None:
    assembly = Assembly(hold=100, place=Place(0))
    assert assembly.accept(data_frame(Place(1), b"b", end=2)) == []
    assert assembly.behind
    assert assembly.accept(data_frame(Place(0), b"a", end=2)) == ["a", "b"]
    assert not assembly.behind


def test_held_frames_are_bounded() -> None:
    assembly = Assembly(hold=3, place=Place(0))
    assembly.accept(data_frame(Place(2), b"cc", end=4))
    assembly.accept(data_frame(Place(3), b"dd", end=4))
    assert assembly.accept(data_frame(Place(0), b"a", b"b", end=4)) == ["a", "b", "cc"]


def test_it_is_complete_only_with_all_text() -> None:
    assembly = Assembly(hold=100, place=Place(0))
    assembly.note(EndFrame(1, 1, Ending(Status.COMPLETED)))
    assert not assembly.complete
    assembly.accept(data_frame(Place(0), b"a", end=1))
    assert assembly.complete


def test_a_split_character_comes_out_whole() -> None:
    data = "x😀".encode()
    assembly = Assembly(hold=100, place=Place(0))
    assert assembly.accept(data_frame(Place(0), data[:3], partial=True, end=1)) == []
    assert assembly.accept(data_frame(Place(0, 3), data[3:], end=1)) == ["x😀"]


@pytest.mark.rule("FRM-3", "P7")
def test_empty_chunks_that_come_early_are_kept_within_a_bound() -> None:
    assembly = Assembly(hold=10_000, place=Place(0))
    for sequence in range(1, 20_000):
        assert assembly.accept(data_frame(Place(sequence), b"")) == []
    assert len(assembly.accept(data_frame(Place(0), b"a"))) == 1 + 4096
