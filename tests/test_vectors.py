"""The message vectors that ship for other languages hold for this implementation."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

import pytest

from resumable_stream._protocol.sentinel import Outcome
from resumable_stream._protocol.whereabouts import Elsewhere, Over, Unknown, whereabouts
from resumable_stream._protocol.wire import (
    DataFrame,
    EndFrame,
    Frame,
    MalformedFrameError,
    Request,
    decode_frame,
    decode_request,
    encode_frame,
    encode_request,
)
from resumable_stream._text.endings import Status

VECTORS = files("resumable_stream_conformance") / "vectors"
REQUESTS = json.loads((VECTORS / "requests.json").read_text("utf-8"))
FRAMES = json.loads((VECTORS / "frames.json").read_text("utf-8"))
KEYS = json.loads((VECTORS / "keys.json").read_text("utf-8"))


def meaning_of_request(request: Request) -> dict[str, Any]:
    place = request.place
    return {
        "listenerId": request.listener_id,
        "version": request.version,
        "type": request.type,
        "generation": request.generation,
        "skip": request.skip,
        "unit": request.unit,
        "place": [place.sequence, place.byte] if place else None,
        "window": request.window,
    }


def meaning_of_frame(frame: Frame) -> dict[str, Any]:
    match frame:
        case DataFrame():
            return {
                "type": "data",
                "generation": frame.generation,
                "sequence": frame.place.sequence,
                "byte": frame.place.byte,
                "parts": [part.hex() for part in frame.joined.parts()],
                "partial": frame.partial,
                "end": frame.end,
                "last": frame.last,
                "offset": frame.offset,
            }
        case EndFrame():
            return {
                "type": "end",
                "generation": frame.generation,
                "end": frame.end,
                "status": frame.ending.status,
                "errorType": frame.ending.error_type,
                "errorMessage": frame.ending.error_message,
            }
        case _:
            return {
                "type": "refusal",
                "generation": frame.generation,
                "reason": frame.refusal,
                "start": frame.start,
            }


@pytest.mark.parametrize("vector", REQUESTS["requests"], ids=lambda vector: vector["name"])
def test_request_vectors_hold(vector: dict[str, Any]) -> None:
    request = decode_request(vector["message"].encode())
    assert request is not None
    assert meaning_of_request(request) == vector["means"]
    assert json.loads(encode_request(request)) == json.loads(vector["message"])


@pytest.mark.parametrize("message", REQUESTS["notRequests"])
def test_what_is_no_request_is_ignored(message: str) -> None:
    assert decode_request(message.encode()) is None


@pytest.mark.rule("FRM-1")
@pytest.mark.parametrize("vector", FRAMES["frames"], ids=lambda vector: vector["name"])
def test_frame_vectors_hold(vector: dict[str, Any]) -> None:
    message = bytes.fromhex(vector["messageHex"])
    frame = decode_frame(vector["channelId"], message)
    assert frame is not None
    assert meaning_of_frame(frame) == vector["means"]
    assert encode_frame(vector["channelId"], frame) == message


@pytest.mark.parametrize("vector", FRAMES["unframed"])
def test_text_of_v1_producers_is_unframed(vector: dict[str, str]) -> None:
    assert decode_frame(vector["channelId"], bytes.fromhex(vector["messageHex"])) is None


@pytest.mark.rule("FRM-6")
@pytest.mark.parametrize("vector", FRAMES["malformed"])
def test_malformed_frames_are_refused(vector: dict[str, str]) -> None:
    with pytest.raises(MalformedFrameError):
        decode_frame(vector["channelId"], bytes.fromhex(vector["messageHex"]))


@pytest.mark.rule("SEN-2")
@pytest.mark.parametrize("vector", KEYS["sentinels"], ids=lambda vector: str(vector["value"]))
def test_sentinel_vectors_hold(vector: dict[str, Any]) -> None:
    means = vector["means"]
    known = {"missing": Unknown(), "done": Over(None), "typescript": Elsewhere(None)}
    assert whereabouts(vector["value"]) == known.get(means, Elsewhere(means))


@pytest.mark.rule("SEN-8")
@pytest.mark.parametrize("vector", KEYS["outcomes"], ids=lambda vector: vector["status"])
def test_outcome_vectors_hold(vector: dict[str, Any]) -> None:
    outcome = Outcome.decode(vector["value"])
    assert outcome is not None
    assert outcome.generation == vector["generation"]
    assert outcome.end == vector["end"]
    assert outcome.ending.status == Status(vector["status"])
    assert outcome.ending.error_type == vector["errorType"]
    assert outcome.ending.error_message == vector["errorMessage"]
    assert json.loads(outcome.encode()) == json.loads(vector["value"])


@pytest.mark.rule("SEN-8", "SEN-11")
@pytest.mark.parametrize("value", KEYS["notOutcomes"])
def test_what_is_no_outcome_is_none(value: str) -> None:
    assert Outcome.decode(value) is None
