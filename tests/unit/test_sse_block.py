"""Consecutive chunks as one block of events."""

from __future__ import annotations

import pytest

from resumable_stream.sse import EVENTS, JSON, TEXT, EventFormat, encode_event
from resumable_stream.sse._block import encode_run

RUNS = [
    ["a"],
    [""],
    ["", ""],
    ["a", "b", "c"],
    ["a\nb"],
    ["a", "b\r"],
    ["\r\n", "x"],
    ["\ud83d", "\ude80"],
    ["\ud83d\ude80"],
    ["\u2028", "\x0b\x0c\x1c\x85", " "],
    ["data: 1", "id: 7"],
]


class SameFormat(EventFormat):
    """Gives what ``TEXT`` gives, by a method of its own."""

    def chunk(self, chunk: str) -> str:
        return encode_event(chunk)


@pytest.mark.parametrize("run", RUNS, ids=repr)
@pytest.mark.parametrize("last", ["4823-17", "1-11", None])
def test_plain_text_gets_the_events_of_each_chunk(run: list[str], last: str | None) -> None:
    single = []
    for at, chunk in enumerate(run, 1):
        at_id = last and f"{last.split('-')[0]}-{int(last.split('-')[1]) - len(run) + at}"
        single.append(encode_run(SameFormat(), at_id, [chunk]))
    whole = encode_run(TEXT, last, run)
    assert whole == encode_run(SameFormat(), last, run)
    assert whole == b"".join(single)


def test_format_of_ones_own_is_asked_for_each_chunk() -> None:
    class Loud(EventFormat):
        def chunk(self, chunk: str) -> str:
            return encode_event(chunk.upper())

    assert encode_run(Loud(), "9-2", ["a", "b"]) == b"data: A\nid: 9-1\n\ndata: B\nid: 9-2\n\n"


def test_event_without_data_has_its_id_alone() -> None:
    assert encode_run(EVENTS, "9-2", ["", "data: b\n\n"]) == b"id: 9-1\n\ndata: b\nid: 9-2\n\n"


def test_text_as_json_is_one_line() -> None:
    assert encode_run(JSON, "9-1", ["a\nb"]) == b'data: "a\\nb"\nid: 9-1\n\n'
