from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resumable_stream._producing.pieces import cut
from resumable_stream._protocol.joined_fields import MAX_PARTS
from resumable_stream._protocol.places import Place
from resumable_stream._protocol.wire import DataFrame, EndFrame, decode_frame, encode_frame
from resumable_stream._reading.assembly import Assembly
from resumable_stream._text.endings import Ending, Status
from resumable_stream._text.log import Log
from resumable_stream._text.utf8 import encode_text
from support.hostile import AWKWARD
from support.world import data_frame

CHUNKS = st.one_of(
    st.lists(st.text(st.characters(exclude_categories=()), max_size=30), max_size=20),
    st.lists(AWKWARD, max_size=40),
)


def log_of(chunks: list[str], block_size: int = 100) -> Log:
    """Return a log of small blocks: by default, four short chunks fill one."""
    log = Log(10**9)
    log._block_size = log._room = block_size
    for chunk in chunks:
        log.append(chunk)
    return log


def frames_of(chunks: list[str], size: int, block_size: int = 100) -> list[DataFrame]:
    """Cut all chunks into frames of at most ``size`` bytes; encode and decode each."""
    log = log_of(chunks, block_size)
    place, frames = Place(0), []
    while place.sequence < log.end:
        joined, partial, after = cut(log, place, size)
        assert len(joined.data) + sum(len(f"{length},") for length in joined.lengths) <= size
        sent = DataFrame(1, place, joined, partial=partial, end=log.end, offset=0)
        frame = decode_frame("id", encode_frame("id", sent))
        assert isinstance(frame, DataFrame)
        assert frame == sent
        frames.append(frame)
        place = after
    return frames


@pytest.mark.rule("FRM-1", "FRM-7")
@settings(max_examples=300)
@given(CHUNKS, st.integers(4, 60), st.integers(1, 300))
def test_pieces_of_any_size_give_the_chunks_back(
    chunks: list[str], size: int, block_size: int
) -> None:
    assembly = Assembly(hold=0)
    frames = frames_of(chunks, size, block_size)
    assert [chunk for frame in frames for chunk in assembly.accept(frame)] == chunks
    assert not assembly.behind or not chunks


@pytest.mark.rule("FRM-1", "FRM-7")
@given(st.lists(AWKWARD, min_size=1), st.data())
def test_what_follows_any_place_is_sent_from_there(chunks: list[str], data: st.DataObject) -> None:
    log = log_of(chunks)
    sequence = data.draw(st.integers(0, len(chunks) - 1))
    encoded = encode_text(chunks[sequence])
    byte = data.draw(st.integers(0, len(encoded)))
    joined, partial, after = cut(log, Place(sequence, byte), data.draw(st.integers(0, 40)))
    rest = [encoded[byte:], *map(encode_text, chunks[sequence + 1 :])][: joined.number]
    parts = joined.parts()
    assert parts[:-1] == rest[:-1]
    if partial:
        assert after == Place(sequence, byte + len(parts[-1]))
        assert rest[-1].startswith(parts[-1])
    else:
        assert after == (Place(sequence + joined.number) if parts else Place(sequence, byte))
        assert parts == rest


@pytest.mark.rule("FRM-1")
def test_halves_of_a_pair_in_two_chunks_stay_apart() -> None:
    chunks = ["a\ud83d", "\ude00b", "\ud83d", "\ude00"]
    (frame,) = frames_of(chunks, 100, block_size=10**6)
    assert Assembly(hold=0).accept(frame) == chunks


def test_sealed_text_is_sent_as_it_lies_in_memory() -> None:
    log = log_of(["word "] * 100, block_size=1_000)
    assert cut(log, Place(0), len(log.block(0).joined.data)).joined is log.block(0).joined


@pytest.mark.rule("FRM-7")
def test_blocks_with_one_separator_share_a_frame() -> None:
    chunks = ["a"] * 12 + ["\x1e"] * 4 + ["d"] * 8
    frames = frames_of(chunks, 1_000)
    assert [frame.joined.separator for frame in frames] == ["\x1e", "\x1f", "\x1e"]
    assert [frame.joined.number for frame in frames] == [12, 4, 8]


@pytest.mark.rule("FRM-2", "FRM-7")
@pytest.mark.parametrize("letters", ["x", "x\x1e", "x\x1e\x1f\x1d\x1c", "😀\ud83d"])
def test_a_chunk_of_8_mb_is_sent_in_parts(letters: str) -> None:
    chunk = letters * (8 * 2**20 // len(encode_text(letters)))
    chunks = ["before", chunk, "", "after"]
    frames = frames_of(chunks, 2**18 - 1, block_size=2**15)
    assert len(frames) < 40
    assembly = Assembly(hold=0)
    assert [chunk for frame in frames for chunk in assembly.accept(frame)] == chunks


@pytest.mark.rule("FRM-7")
def test_very_many_empty_chunks_are_sent_in_few_frames() -> None:
    count = 100_000
    frames = frames_of([""] * count, 2**18, block_size=2**15)
    assert len(frames) < 2 * count / MAX_PARTS
    assert max(frame.joined.number for frame in frames) <= MAX_PARTS
    assembly = Assembly(hold=0)
    assert [chunk for frame in frames for chunk in assembly.accept(frame)] == [""] * count


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
