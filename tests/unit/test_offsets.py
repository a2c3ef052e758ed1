from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resumable_stream import InvalidOffsetError
from resumable_stream._text.offsets import OffsetUnit, Skip, check_offset, index_at, length
from resumable_stream._text.utf8 import to_well_formed

UTF16, POINTS = OffsetUnit.UTF16, OffsetUnit.CODE_POINTS
ANY_TEXT = st.text(st.characters(exclude_categories=()))


def javascript_length(text: str) -> int:
    return sum(2 if character > "\uffff" else 1 for character in text)


@given(ANY_TEXT)
def test_length_counts_as_javascript_does(text: str) -> None:
    assert length(text, UTF16) == javascript_length(text)
    assert length(text, POINTS) == len(text)


@given(ANY_TEXT)
def test_every_boundary_is_found_and_no_inside(text: str) -> None:
    boundaries = {javascript_length(text[:i]): i for i in range(len(text) + 1)}
    for offset in range(javascript_length(text) + 1):
        assert index_at(text, offset, UTF16) == boundaries.get(offset)


def test_lone_surrogates_become_replacement_characters() -> None:
    assert to_well_formed("a\ud83d") == "a\ufffd"
    assert to_well_formed("\ud83d\ude00") == "😀"


@pytest.mark.parametrize("value", [-1, 1.0, "7", True, 2**53, object()])
def test_bad_offsets_are_refused(value: object) -> None:
    with pytest.raises(InvalidOffsetError, match="offset"):
        check_offset(value)  # type: ignore[arg-type]


def test_no_offset_is_the_beginning() -> None:
    assert check_offset(None) == 0
    assert check_offset(7) == 7


@given(st.lists(ANY_TEXT), st.integers(0, 200))
def test_skip_drops_the_first_units(chunks: list[str], units: int) -> None:
    text = "".join(chunks)
    boundary = index_at(text, units, POINTS) if units <= len(text) else None
    skip = Skip(units, POINTS)
    rest = "".join(kept for chunk in chunks if (kept := skip.feed(chunk)) is not None)
    assert rest == ("" if boundary is None else text[boundary:])


def test_skip_refuses_to_halve_a_pair() -> None:
    skip = Skip(3, UTF16)
    assert skip.feed("ab") is None
    with pytest.raises(InvalidOffsetError, match="surrogate pair"):
        skip.feed("😀")
