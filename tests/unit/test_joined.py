"""Chunks that are joined into one piece of UTF-8 can be separated again."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from resumable_stream._text.joined import SEPARATORS, Joined, join
from resumable_stream._text.utf8 import decode_text, encode_text
from support.hostile import AWKWARD


@pytest.mark.rule("FRM-7")
@given(st.lists(AWKWARD, max_size=12))
def test_any_chunks_come_back(chunks: list[str]) -> None:
    joined = join(chunks)
    assert joined.texts() == chunks
    assert joined.parts() == [*map(encode_text, chunks)]
    assert joined.number == len(chunks)


@pytest.mark.rule("FRM-7")
@pytest.mark.parametrize("chunks", [[], [""], ["", ""], [SEPARATORS], ["", SEPARATORS, ""]])
def test_empty_chunks_are_counted(chunks: list[str]) -> None:
    assert join(chunks).texts() == chunks


@pytest.mark.rule("FRM-7")
@pytest.mark.parametrize("at", range(len(SEPARATORS)))
def test_the_first_separator_that_no_chunk_contains_is_taken(at: int) -> None:
    assert join(["a", SEPARATORS[:at], "b"]).separator == SEPARATORS[at]


@pytest.mark.rule("FRM-7")
def test_chunks_with_all_separators_have_lengths() -> None:
    assert join(["a", SEPARATORS, ""]) == Joined(f"a{SEPARATORS}".encode(), 3, "", (1, 4, 0))


@example([b"\xed\xa0\xbd", b"\xff"])
@given(st.lists(st.binary(max_size=6).filter(lambda part: b"\x1e" not in part), min_size=1))
def test_each_part_is_decoded_by_itself(parts: list[bytes]) -> None:
    joined = Joined(b"\x1e".join(parts), len(parts))
    assert joined.texts() == [*map(decode_text, parts)]
