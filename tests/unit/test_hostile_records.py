"""Every decoder returns a sound value of its type, or its one answer for malformed input."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resumable_stream._protocol.ending_fields import MAX_ERROR_BYTES
from resumable_stream._protocol.fields import MAX_JSON, MalformedError, read_object
from resumable_stream._protocol.sentinel import (
    Outcome,
    generation_of,
)
from resumable_stream._protocol.whereabouts import Elsewhere, Over, Unknown, whereabouts
from resumable_stream._protocol.wire import (
    DataFrame,
    Decoder,
    EndFrame,
    Frame,
    MalformedFrameError,
    RefusalFrame,
    Request,
    RequestType,
    decode_frame,
    decode_request,
    encode_frame,
    encode_request,
)
from resumable_stream._text.endings import Ending, Status
from resumable_stream._text.offsets import MAX_SAFE_INTEGER, OffsetUnit
from resumable_stream._text.utf8 import decode_text, is_encodable
from support.hostile import FRAMES, MESSAGES, RECORDS, SENTINELS, TEXTS, VALUES

if TYPE_CHECKING:
    from collections.abc import Iterator

LARGEST_GENERATION = 2**33 - 1


def is_natural(value: object) -> bool:
    return type(value) is int and 0 <= value <= MAX_SAFE_INTEGER


def is_sound(ending: Ending) -> bool:
    told = (ending.error_type, ending.error_message)
    if ending.status is not Status.FAILED:
        return told == (None, None)
    return told == (None, None) or all(
        type(text) is str and is_encodable(text) and len(text) <= MAX_ERROR_BYTES for text in told
    )


@pytest.fixture(params=[sys.get_int_max_str_digits(), 0], ids=["limited", "unlimited"])
def digits(request: pytest.FixtureRequest) -> Iterator[None]:
    """Run the test with the interpreter's default limit of digits, and without a limit."""
    before = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(request.param)
    yield
    sys.set_int_max_str_digits(before)


@pytest.mark.rule("SEN-2")
@given(SENTINELS)
def test_any_sentinel_names_a_state(value: str | None) -> None:
    match whereabouts(value):
        case Unknown():
            assert value is None
        case Over(outcome):
            assert outcome is None
            assert value == "DONE"
        case Elsewhere(generation):
            assert generation is None or 0 < generation <= LARGEST_GENERATION


@pytest.mark.rule("SEN-2")
def test_a_number_that_no_peer_can_read_exactly_names_no_generation() -> None:
    assert generation_of(str(2**53 - 1)) == LARGEST_GENERATION
    assert generation_of(str(2**53)) == 0
    assert generation_of("9" * 16) == 0


@pytest.mark.rule("SEN-8", "SEN-11")
@given(RECORDS | TEXTS)
def test_any_record_is_an_outcome_or_none(text: str) -> None:
    outcome = Outcome.decode(text)
    if outcome is not None:
        assert is_natural(outcome.generation)
        assert is_natural(outcome.end)
        assert is_natural(outcome.served_until)
        assert outcome.ending.status is not Status.SUPERSEDED
        assert is_sound(outcome.ending)
        assert Outcome.decode(outcome.encode()) == outcome


@pytest.mark.rule("SEN-8", "SEN-11")
@pytest.mark.parametrize(
    "text",
    [
        '{"generation":77,"end":3,"status":"superseded"}',
        '{"generation":77,"end":3,"status":"running"}',
        '{"generation":77,"end":3,"status":["lost"]}',
        '{"generation":77,"end":3,"status":' + "[" * 900 + "]" * 900 + "}",
        '{"generation":77,"end":3,"status":"failed","errorType":7}',
        '{"generation":77,"end":3}',
        '{"generation":77,"status":"lost"}',
        '{"generation":true,"end":3,"status":"lost"}',
        '{"generation":"77","end":3,"status":"lost"}',
        '{"generation":77,"end":3.0,"status":"lost"}',
        '{"generation":77,"end":1e999,"status":"lost"}',
        '{"generation":77,"end":-3,"status":"lost"}',
        '{"generation":77,"end":9007199254740992,"status":"lost"}',
        '{"generation":77,"end":' + "9" * 5000 + ',"status":"lost"}',
        '{"generation":77,"end":NaN,"status":"lost"}',
        '{"generation":77,"end":3,"status":"lost","servedUntil":1e999}',
        '{"generation":77,"end":3,"status":"lost","servedUntil":true}',
        '{"generation":77,"end":3,"status":"lost","more":NaN}',
        '{"generation":77,"end":3,"status":"lost","more":"' + "x" * MAX_JSON + '"}',
        "[" * 100_000,
        '"lost"',
        "junk",
        "",
    ],
)
@pytest.mark.usefixtures("digits")
def test_a_record_that_is_not_as_specified_is_none(text: str) -> None:
    assert Outcome.decode(text) is None


@pytest.mark.rule("SEN-8", "SEN-11")
def test_of_a_repeated_field_the_last_counts() -> None:
    text = '{"generation":1,"generation":77,"end":3,"status":"completed","status":"lost"}'
    assert Outcome.decode(text) == Outcome(77, 3, Ending(Status.LOST))


@pytest.mark.rule("SEN-8", "SEN-11")
def test_fields_that_are_not_known_are_ignored() -> None:
    text = '{"generation":77,"end":3,"status":"lost","errorType":7,"later":{"more":[1.5]}}'
    assert Outcome.decode(text) == Outcome(77, 3, Ending(Status.LOST))


@pytest.mark.rule("SEN-8", "SEN-11")
def test_an_error_is_read_within_its_bounds_and_as_text() -> None:
    long = "x" * 5000
    text = (
        '{"generation":1,"end":0,"status":"failed",'
        f'"errorType":"E\\ud800","errorMessage":"{long}"}}'
    )
    outcome = Outcome.decode(text)
    assert outcome is not None
    assert outcome.ending.error_type == "E\ufffd"
    assert len(outcome.ending.error_message or "") < MAX_ERROR_BYTES


@given(MESSAGES)
def test_any_message_is_a_request_or_none(message: bytes) -> None:
    request = decode_request(message)
    if request is None:
        return
    assert type(request.type) is RequestType
    assert type(request.unit) is OffsetUnit
    assert request.generation is None or is_natural(request.generation)
    assert all(map(is_natural, (request.version, request.skip, request.window)))
    assert request.place is None or all(map(is_natural, request.place))
    assert decode_request(encode_request(request)) == request


@pytest.mark.parametrize("field", ["skipCharacters", "version", "generation", "sequence", "window"])
@pytest.mark.parametrize("value", ["true", "false", '""', "[]", "7.0", "1e999", "-1", "NaN"])
@pytest.mark.usefixtures("digits")
def test_a_request_of_anything_but_whole_numbers_is_none(field: str, value: str) -> None:
    assert decode_request(f'{{"listenerId":"a","version":2,"{field}":{value}}}'.encode()) is None


def test_what_is_null_in_a_request_is_absent() -> None:
    fields = ("skipCharacters", "type", "unit", "generation", "sequence", "byte", "window")
    nulls = ",".join(f'"{field}":null' for field in fields)
    message = f'{{"listenerId":"a","version":2,{nulls}}}'.encode()
    assert decode_request(message) == Request("a")


def test_a_request_in_another_encoding_is_none() -> None:
    assert decode_request('{"listenerId":"a"}'.encode("utf-16")) is None


def is_frame(frame: Frame) -> bool:
    match frame:
        case DataFrame():
            numbers = (frame.generation, *frame.place, *frame.joined.lengths, frame.end)
            whole = frame.offset is None or is_natural(frame.offset)
            return (
                whole and all(map(is_natural, numbers)) and len(frame.texts) == frame.joined.number
            )
        case EndFrame():
            return is_natural(frame.generation) and is_natural(frame.end) and is_sound(frame.ending)
        case RefusalFrame():
            return is_natural(frame.generation) and is_natural(frame.start)


@pytest.mark.rule("FRM-6")
@given(FRAMES)
def test_any_message_is_a_frame_or_malformed(rest: bytes) -> None:
    message = b"id " + rest
    try:
        frame = decode_frame("id", message)
    except MalformedFrameError:
        with pytest.raises(MalformedFrameError):
            Decoder().decode("id", message)
    else:
        assert frame is not None
        assert is_frame(frame)
        assert decode_frame("id", encode_frame("id", frame)) == frame
        assert Decoder().decode("id", message) == frame


@pytest.mark.rule("FRM-6")
@given(st.integers(0, 2**21))
def test_a_header_is_read_up_to_a_bound(size: int) -> None:
    header = b'{"type":"end","generation":1,"end":1,"status":"lost","x":"' + b"x" * size + b'"}'
    message = b"id " + header + b"\n"
    if len(header) <= MAX_JSON:
        assert decode_frame("id", message) == EndFrame(1, 1, Ending(Status.LOST))
    else:
        with pytest.raises(MalformedFrameError):
            decode_frame("id", message)


@pytest.mark.rule("FRM-6")
@pytest.mark.usefixtures("digits")
def test_a_number_of_many_digits_is_no_place() -> None:
    digits = b"9" * 5000
    header = (
        b'{"type":"data","generation":1,"sequence":'
        + digits
        + b',"byte":0,"count":0,"size":0,"end":0}'
    )
    with pytest.raises(MalformedFrameError):
        decode_frame("id", b"id " + header + b"\n")


@given(st.binary())
def test_any_bytes_are_text(data: bytes) -> None:
    assert type(decode_text(data)) is str


@given(VALUES | TEXTS)
def test_any_text_is_an_object_or_malformed(text: str) -> None:
    for data in (text, text.encode("utf-8", "surrogatepass")):
        try:
            assert type(read_object(data)) is dict
        except MalformedError:
            continue


def test_a_frame_shows_nothing_of_what_it_was() -> None:
    with pytest.raises(MalformedFrameError) as caught:
        decode_frame("id", b'id {"type":"secret","generation":1}\n')
    assert "secret" not in f"{caught.value} {caught.value.__cause__}"
