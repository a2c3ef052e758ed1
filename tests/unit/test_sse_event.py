"""Events as text, and what a client that follows the standard decodes from them."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import fastapi.sse
import pydantic
import pytest
import sse_starlette
from hypothesis import given
from hypothesis import strategies as st

from resumable_stream.sse import JSON, TEXT, ServerSentEvent, as_events, encode_event
from support.event_source import Event, EventParser, events_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

AWKWARD = st.sampled_from("\r\n\0: \u2028\u0085\ufeff")
TEXTS = st.text(st.characters(codec="utf-8") | AWKWARD)
ANY_TEXTS = st.text(st.characters(exclude_categories=()) | AWKWARD)


def only(text: str) -> Event:
    (event,) = events_of([text.encode()])
    return event


def normalised(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


@given(TEXTS)
def test_text_arrives_but_for_its_carriage_returns(text: str) -> None:
    assert only(TEXT.chunk(text)) == Event("message", normalised(text), "")


@given(ANY_TEXTS)
def test_text_as_json_arrives_exactly(text: str) -> None:
    event = only(JSON.chunk(text))
    assert event.json == text
    assert "\n" not in event.data


@pytest.mark.parametrize("text", ["", " ", "  x", "\n", "a\n", "\n\na", ": x", "data: x", "a\0b"])
def test_awkward_text_arrives(text: str) -> None:
    assert only(encode_event(text)).data == text


@given(st.lists(st.text(st.characters(codec="utf-8"))), st.integers(1, 9))
def test_events_arrive_however_they_are_cut(texts: list[str], size: int) -> None:
    sent = "".join(encode_event(text) for text in texts).encode()
    pieces = [sent[start : start + size] for start in range(0, len(sent), size)]
    assert [event.data for event in events_of(pieces)] == [normalised(text) for text in texts]


@dataclasses.dataclass
class Point:
    x: int


class Model(pydantic.BaseModel):
    x: int


@pytest.mark.parametrize("item", [{"x": 1}, Point(1), Model(x=1)])
def test_objects_are_sent_as_json(item: Any) -> None:
    assert only(encode_event(item)).data == '{"x":1}'
    assert only(encode_event([item])).data == '[{"x":1}]'
    assert only(encode_event(ServerSentEvent(item, event="point"))).data == '{"x":1}'


def test_every_field_is_sent() -> None:
    parser = EventParser()
    text = encode_event(ServerSentEvent("a\nb", event="tool", retry=250, comment="one\r\ntwo"))
    assert parser.feed(text.encode()) == [Event("tool", "a\nb", "")]
    assert (parser.retry, parser.comments) == (250, 2)


@pytest.mark.parametrize(
    ("event", "data"),
    [
        (sse_starlette.ServerSentEvent("a\nb", event="tool"), "a\nb"),
        (sse_starlette.ServerSentEvent({"x": 1}, event="tool"), '{"x":1}'),
        (sse_starlette.JSONServerSentEvent({"x": 1}, event="tool"), '{"x":1}'),
        (fastapi.sse.ServerSentEvent(data="a", event="tool"), '"a"'),
        (fastapi.sse.ServerSentEvent(data=Model(x=1), event="tool"), '{"x":1}'),
        (fastapi.sse.ServerSentEvent(raw_data="a", event="tool"), "a"),
    ],
)
def test_events_of_other_libraries_mean_what_they_mean_there(event: Any, data: str) -> None:
    assert only(encode_event(event)) == Event("tool", data, "")


@pytest.mark.parametrize(
    ("item", "words"),
    [
        (ServerSentEvent("a", event="b\nid: 7"), "line end"),
        (ServerSentEvent("a", event="b\rid: 7"), "line end"),
        (ServerSentEvent("a", retry=-1), "negative"),
        (sse_starlette.ServerSentEvent("a", id="7"), "leave it out"),
        (float("nan"), "JSON compliant"),
    ],
)
def test_what_no_client_could_read_is_refused(item: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        encode_event(item)


@pytest.mark.parametrize("item", [b"bytes", object(), {1, 2}, Point])
def test_what_json_cannot_express_is_refused(item: Any) -> None:
    with pytest.raises(TypeError, match="yield a dict or a str"):
        encode_event(item)


async def test_a_source_of_events_becomes_one_of_whole_events() -> None:
    closed = []

    async def events() -> AsyncIterator[object]:
        try:
            yield "text"
            yield {"x": 1}
            yield ServerSentEvent(None, comment="nothing")
        finally:
            closed.append(True)

    async def awaited() -> AsyncIterator[object]:
        return events()

    for make in (events, awaited):
        chunks = [chunk async for chunk in as_events(make)()]
        assert chunks == ["data: text\n\n", 'data: {"x":1}\n\n', ": nothing\n\n"]
    started = as_events(events)()
    await anext(started)
    await started.aclose()  # type: ignore[attr-defined]
    assert closed == [True] * 3
