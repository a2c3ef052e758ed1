from __future__ import annotations

import contextlib
import json
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resumable_stream._protocol.ending_fields import MAX_ERROR_BYTES, ending_fields
from resumable_stream._protocol.joined_fields import MAX_PARTS
from resumable_stream._protocol.places import Place
from resumable_stream._protocol.wire import (
    VERSION,
    DataFrame,
    EndFrame,
    Frame,
    MalformedFrameError,
    Refusal,
    RefusalFrame,
    Request,
    RequestType,
    decode_frame,
    decode_request,
    encode_frame,
    encode_request,
    encode_v1,
    frame_prefix,
)
from resumable_stream._reading.unread import CHUNK_COST
from resumable_stream._text.endings import Ending, Status
from resumable_stream._text.joined import Joined, join
from resumable_stream._text.offsets import MAX_SAFE_INTEGER, OffsetUnit
from resumable_stream._text.utf8 import decode_text, encode_text
from support.hostile import AWKWARD
from support.world import data_frame

NATURAL = st.integers(0, MAX_SAFE_INTEGER)
PLACES = st.builds(Place, NATURAL, NATURAL)
LISTENERS = st.from_regex(r"[A-Za-z0-9_-]{1,128}", fullmatch=True)
REQUESTS = st.builds(
    Request,
    LISTENERS,
    version=st.just(VERSION),
    type=st.sampled_from(RequestType),
    generation=st.none() | NATURAL,
    skip=NATURAL,
    unit=st.sampled_from(OffsetUnit),
    place=st.none() | PLACES,
    window=NATURAL,
    origin=st.none() | NATURAL,
)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=50)
DATA_FRAMES = st.builds(
    lambda chunks, **fields: DataFrame(joined=join(chunks), **fields),
    st.lists(AWKWARD, max_size=6),
    generation=NATURAL,
    place=PLACES,
    partial=st.booleans(),
    end=NATURAL,
    last=st.booleans(),
    offset=st.none() | NATURAL,
)
FRAMES = st.one_of(
    DATA_FRAMES,
    st.builds(
        lambda place, parts, **fields: data_frame(place, *parts, **fields),
        PLACES,
        st.lists(st.binary(max_size=20)),
        generation=NATURAL,
        partial=st.booleans(),
        end=NATURAL,
        last=st.booleans(),
        offset=st.none() | NATURAL,
    ),
    st.builds(EndFrame, NATURAL, NATURAL, st.sampled_from(Status).map(Ending)),
    st.builds(
        EndFrame,
        NATURAL,
        NATURAL,
        st.builds(lambda kind, text: Ending(Status.FAILED, kind, text), TEXTS, TEXTS),
    ),
    st.builds(RefusalFrame, NATURAL, st.sampled_from(Refusal), NATURAL),
)
ANY_ID = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


@given(REQUESTS)
def test_requests_come_back(request: Request) -> None:
    assert decode_request(encode_request(request)) == request


@given(LISTENERS, NATURAL)
def test_v1_requests_come_back(listener: str, skip: int) -> None:
    request = Request(listener, version=1, skip=skip)
    assert decode_request(encode_request(request)) == request


@given(ANY_ID, FRAMES)
def test_frames_come_back(channel: str, frame: Frame) -> None:
    assert decode_frame(channel, encode_frame(channel, frame)) == frame


@pytest.mark.rule("SEN-11")
@given(ANY_ID, DATA_FRAMES)
def test_a_header_may_be_spelled_in_any_way(channel: str, frame: DataFrame) -> None:
    message = encode_frame(channel, frame)
    prefix, payload = frame_prefix(channel), frame.joined.data
    header = message.removeprefix(prefix).removesuffix(payload)
    other = json.dumps(dict(reversed(json.loads(header).items())), indent=" ").replace("\n", "")
    assert decode_frame(channel, prefix + other.encode() + b"\n" + payload) == frame


@pytest.mark.rule("FRM-7", "SEN-11")
@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        (b'"count":2', b'"count":3'),
        (b'"count":2', b'"count":1'),
        (b'"size":3', b'"size":2'),
        (b'"sequence":4', b'"sequence":04'),
        (b'"end":9', b'"end":-9'),
        (b'"end":9', b'"end":9007199254740992'),
        (b'"end":9', b'"end":9.0'),
        (b"\\u001f", b"\\u001a"),
        (b"\\u001f", b"\\u001d"),
    ],
)
def test_one_wrong_field_makes_a_frame_malformed(right: bytes, wrong: bytes) -> None:
    frame = DataFrame(1, Place(4), Joined(b"a\x1fb", 2, "\x1f"), end=9)
    message = encode_frame("id", frame)
    assert decode_frame("id", message) == frame
    assert message.count(right) == 1
    with pytest.raises(MalformedFrameError):
        decode_frame("id", message.replace(right, wrong))


def test_the_largest_numbers_travel() -> None:
    frame = DataFrame(2**53 - 1, Place(2**53 - 1, 2**53 - 1), end=2**53 - 1, offset=2**53 - 1)
    assert decode_frame("id", encode_frame("id", frame)) == frame


@given(st.binary())
def test_hostile_requests_are_no_requests(message: bytes) -> None:
    decode_request(message)


@given(st.recursive(st.none() | st.booleans() | st.floats() | TEXTS | st.integers(), st.lists))
def test_requests_of_strange_types_are_none(value: object) -> None:
    for field in ("listenerId", "skipCharacters", "version", "sequence", "window", "unit", "type"):
        fields = {"listenerId": "a", "version": 2, field: value}
        decode_request(json.dumps(fields).encode())
    assert decode_request(json.dumps(value).encode()) is None


@given(st.binary())
def test_hostile_frames_are_refused_or_harmless(payload: bytes) -> None:
    with contextlib.suppress(MalformedFrameError):
        decode_frame("id", b"id " + payload)


@pytest.mark.rule("FRM-7")
@given(st.lists(AWKWARD, max_size=6), st.data())
def test_a_frame_that_is_cut_short_is_malformed(chunks: list[str], data: st.DataObject) -> None:
    message = encode_frame("id", DataFrame(1, Place(0), join(chunks)))
    kept = data.draw(st.integers(len("id "), len(message) - 1))
    with pytest.raises(MalformedFrameError):
        decode_frame("id", message[:kept])


def framed(fields: str, text: bytes) -> bytes:
    start = '{"type":"data","generation":1,"sequence":0,"byte":0'
    return f'id {start},"size":{len(text)},{fields},"end":9}}\n'.encode() + text


@pytest.mark.rule("FRM-7")
def test_a_frame_has_a_bounded_number_of_parts() -> None:
    most = MAX_PARTS
    frame = decode_frame("id", framed(f'"count":{most}', b"\x1e" * (most - 1)))
    assert isinstance(frame, DataFrame)
    assert frame.texts == [""] * most
    with pytest.raises(MalformedFrameError):
        decode_frame("id", framed(f'"count":{most + 1}', b"\x1e" * most))
    lengths = ",".join("0" * (most + 1))
    with pytest.raises(MalformedFrameError):
        decode_frame("id", framed(f'"count":{most + 1},"lengths":[{lengths}]', b""))


@pytest.mark.rule("FRM-7", "P7")
@pytest.mark.parametrize("count", [1, 2, MAX_PARTS, 2**24, 2**24 + 1, 2**53 - 1])
def test_a_hostile_text_takes_no_more_memory_than_the_message(count: int) -> None:
    message = framed(f'"count":{count}', b"\x1e" * 2**24)
    tracemalloc.start()
    with pytest.raises(MalformedFrameError):
        decode_frame("id", message)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 2.1 * len(message)


@pytest.mark.rule("FRM-7", "P7")
def test_the_parts_of_a_frame_take_a_bounded_amount_of_memory() -> None:
    text = b"\x1e".join([b"ab"] * MAX_PARTS)
    frame = decode_frame("id", framed(f'"count":{MAX_PARTS}', text))
    assert isinstance(frame, DataFrame)
    tracemalloc.start()
    assert len(frame.texts) == MAX_PARTS
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 2 * CHUNK_COST * MAX_PARTS


@pytest.mark.rule("FRM-7")
def test_parts_with_lengths_may_contain_separators() -> None:
    frame = decode_frame("id", framed('"count":3,"lengths":[2,0,3]', b"\x1e\x1f\x1e\x1d\x1c"))
    assert isinstance(frame, DataFrame)
    assert frame.texts == ["\x1e\x1f", "", "\x1e\x1d\x1c"]


@pytest.mark.parametrize(
    "header",
    [
        b"{}",
        b'{"type":"data","generation":1,"sequence":0,"byte":0,"count":2,"size":3,"end":1}',
        b'{"type":"data","generation":1,"sequence":-1,"byte":0,"count":0,"size":0,"end":1}',
        b'{"type":"data","generation":true,"sequence":0,"byte":0,"count":0,"size":0,"end":1}',
        b'{"type":"end","generation":1,"end":1,"status":"well"}',
        b'{"type":"news","generation":1}',
        b"[" * 100_000,
    ],
)
def test_malformed_frames_are_told_apart(header: bytes) -> None:
    with pytest.raises(MalformedFrameError):
        decode_frame("id", b"id " + header + b"\nabc")


@given(TEXTS, ANY_ID)
def test_text_of_a_v1_producer_is_unframed(text: str, channel: str) -> None:
    if not text.startswith(f"{channel} "):
        assert decode_frame(channel, text.encode()) is None


def test_a_typescript_request_is_understood() -> None:
    message = b'{"listenerId":"9c0f2f5e-1d65-4f1b-8ed9-0a3c1f7e4b21","skipCharacters":7}'
    assert decode_request(message) == Request(
        "9c0f2f5e-1d65-4f1b-8ed9-0a3c1f7e4b21", version=1, skip=7
    )


def test_a_place_without_a_byte_is_a_chunks_beginning() -> None:
    request = decode_request(b'{"listenerId":"a","version":2,"sequence":3}')
    assert request == Request("a", place=Place(3))


@pytest.mark.parametrize("listener", ["", "a b", "a:b", "*", "1:stream", "é", "x" * 129, 7, None])
def test_listener_ids_cannot_name_other_channels(listener: object) -> None:
    assert decode_request(json.dumps({"listenerId": listener}).encode()) is None


@given(st.text(st.characters(exclude_categories=()), max_size=100))
def test_any_text_travels(text: str) -> None:
    assert decode_text(encode_text(text)) == text


def test_lone_surrogates_travel_to_v1_as_replacements() -> None:
    assert encode_v1("a\ude00b") == "a\ufffdb".encode()


@given(
    st.text(st.characters(exclude_categories=()), max_size=5000),
    st.text(st.characters(exclude_categories=()), max_size=5000),
)
def test_errors_are_told_within_bounds(kind: str, text: str) -> None:
    fields = ending_fields(Ending(Status.FAILED, kind, text))
    told = json.dumps([fields["errorType"], fields["errorMessage"]], ensure_ascii=False)
    assert len(told.encode()) <= MAX_ERROR_BYTES + 16
