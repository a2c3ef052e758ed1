"""What peers say to each other, as bytes.

Requests, framed replies (v2), and the TypeScript package's raw text (v1). Sections 4 to 7 of
PROTOCOL.md are this module's specification.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from itertools import accumulate
from typing import TYPE_CHECKING, Any, NamedTuple

from resumable_stream._blocks import cut_up
from resumable_stream._log import Ending, Status
from resumable_stream._offsets import MAX_SAFE_INTEGER, OffsetUnit, to_well_formed

if TYPE_CHECKING:
    from collections.abc import Sequence

VERSION = 2

# The literal with which the npm package resumable-stream ends a listener's channel.
V1_END = "\n\n\nDONE_SENTINEL_hasdfasudfyge374%$%^$EDSATRTYFtydryrte\n"

# Room that a frame's header takes beside its list of lengths.
HEADER_ROOM = 256
# An error's type and message are cut to this many bytes together.
MAX_ERROR_BYTES = 1024

_LISTENER_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")


class RequestType(StrEnum):
    READ = "read"
    LEAVE = "leave"
    CANCEL = "cancel"


class Refusal(StrEnum):
    """Why a producer cannot serve a request."""

    TRIMMED = "trimmed"
    INSIDE_PAIR = "inside-pair"
    UNKNOWN_PLACE = "unknown-place"
    OTHER_GENERATION = "other-generation"


class Place(NamedTuple):
    """A place in the text as the wire names it: a chunk, and a byte of its UTF-8."""

    sequence: int
    byte: int = 0


class Request(NamedTuple):
    """What a listener asks of a producer, on the stream's request channel."""

    listener_id: str
    version: int = VERSION
    type: RequestType = RequestType.READ
    generation: int | None = None
    skip: int = 0
    unit: OffsetUnit = OffsetUnit.UTF16
    place: Place | None = None
    window: int = 0


@dataclass(frozen=True)
class DataFrame:
    """Chunks from ``place`` on. Without chunks it is an acknowledgement or a heartbeat.

    Attributes:
        lengths: how many bytes of the payload each chunk has; the first may be a chunk's rest.
        payload: the chunks as UTF-8.
        partial: the last chunk is not there to its end.
        end: the sequence number after the newest chunk the producer has.
        last: the request that this answers is served.
        offset: how many units lie before ``place``, in the unit of the request that this answers.
    """

    generation: int
    place: Place
    lengths: Sequence[int] = ()
    payload: bytes = b""
    partial: bool = False
    end: int = 0
    last: bool = False
    offset: int | None = None

    @cached_property
    def after(self) -> Place:
        """The place that follows, where all chunks are there to their ends."""
        return Place(self.place.sequence + len(self.lengths)) if self.lengths else self.place

    @cached_property
    def texts(self) -> list[str]:
        """The chunks, where all of them are there to their ends."""
        return cut_up(self.payload, accumulate(self.lengths, initial=0))


class EndFrame(NamedTuple):
    """The stream is over; ``end`` chunks are all there are."""

    generation: int
    end: int
    ending: Ending


class RefusalFrame(NamedTuple):
    """The request cannot be served."""

    generation: int
    refusal: Refusal
    start: int = 0


Frame = DataFrame | EndFrame | RefusalFrame


class MalformedFrameError(ValueError):
    """A message that starts as a frame and is none."""


def encode_request(request: Request) -> bytes:
    if request.version == 1:
        fields: dict[str, object] = {"listenerId": request.listener_id}
        if request.skip:
            fields["skipCharacters"] = request.skip
        return _dump(fields)
    fields = {
        "listenerId": request.listener_id,
        "skipCharacters": request.skip,
        "version": request.version,
        "type": request.type,
        "unit": request.unit,
        "window": request.window,
    }
    if request.generation is not None:
        fields["generation"] = request.generation
    if request.place is not None:
        fields["sequence"] = request.place.sequence
        fields["byte"] = request.place.byte
    return _dump(fields)


def decode_request(message: bytes) -> Request | None:
    """Return the request; None for anything that is not one."""
    try:
        fields = json.loads(message)
    except (ValueError, RecursionError):
        return None
    if not isinstance(fields, dict):
        return None
    listener_id = fields.get("listenerId")
    if not isinstance(listener_id, str) or not _LISTENER_ID.fullmatch(listener_id):
        return None
    try:
        skip = _natural(fields.get("skipCharacters") or 0)
        version = fields.get("version", 1)
        if version == 1:
            return Request(listener_id, version=1, skip=skip)
        generation = fields.get("generation")
        place = None
        if "sequence" in fields:
            place = Place(_natural(fields["sequence"]), _natural(fields.get("byte", 0)))
        return Request(
            listener_id,
            version=VERSION,  # a later version's peer is answered in ours
            type=RequestType(fields.get("type", RequestType.READ)),
            generation=None if generation is None else _natural(generation),
            skip=skip,
            unit=OffsetUnit(fields.get("unit", OffsetUnit.UTF16)),
            place=place,
            window=_natural(fields.get("window", 0)),
        )
    except ValueError:
        return None


def encode_frame(channel_id: str, frame: Frame) -> bytes:
    """Encode a frame for the channel of the given listener id."""
    match frame:
        case DataFrame():
            return b"".join((frame_prefix(channel_id), _data_header(frame), b"\n", frame.payload))
        case EndFrame():
            header: dict[str, object] = {
                "type": "end",
                "generation": frame.generation,
                "end": frame.end,
            } | ending_fields(frame.ending)
        case _:
            header = {
                "type": "refusal",
                "generation": frame.generation,
                "reason": frame.refusal,
                "start": frame.start,
            }
    return b"".join((frame_prefix(channel_id), _dump(header), b"\n"))


def _data_header(frame: DataFrame) -> bytes:
    """Only numbers: a third of the time that a JSON encoder takes."""
    sequence, byte = frame.place
    lengths = str(list(frame.lengths))[1:-1].replace(" ", "")
    optional = (
        (',"partial":true' if frame.partial else "")
        + (',"last":true' if frame.last else "")
        + ("" if frame.offset is None else f',"offset":{frame.offset}')
    )
    return (
        f'{{"type":"data","generation":{frame.generation},"sequence":{sequence},"byte":{byte}'
        f',"lengths":[{lengths}],"end":{frame.end}{optional}}}'
    ).encode()


def frame_prefix(channel_id: str) -> bytes:
    """What every frame on the channel starts with, and no text of a v1 peer can imitate."""
    return channel_id.encode() + b" "


class Decoder:
    """Decodes a message once for all the listeners that it reaches, one after the other."""

    def __init__(self) -> None:
        self._latest: tuple[str, bytes, Frame | None] = ("", b"", None)

    def decode(self, channel_id: str, message: bytes) -> Frame | None:
        """As ``decode_frame`` does."""
        known_id, known, frame = self._latest
        if message is not known or channel_id != known_id:
            frame = decode_frame(channel_id, message)
            self._latest = (channel_id, message, frame)
        return frame


def decode_frame(channel_id: str, message: bytes) -> Frame | None:
    """Return the frame; None if the message is not framed, as a v1 producer's are not.

    Raises:
        MalformedFrameError: it is framed, but not as specified.
    """
    prefix = frame_prefix(channel_id)
    if not message.startswith(prefix):
        return None
    head, separator, payload = message[len(prefix) :].partition(b"\n")
    try:
        header = json.loads(head.decode())
        if not separator or not isinstance(header, dict):
            raise ValueError("no header")  # noqa: TRY301
        return _frame(header, payload)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise MalformedFrameError(
            f"a malformed frame of {len(message)} bytes was ignored"
        ) from error


def _frame(header: dict[str, Any], payload: bytes) -> Frame:
    generation = _natural(header["generation"])
    match header["type"]:
        case "data":
            lengths = header["lengths"]
            if type(lengths) is not list or not set(map(type, lengths)) <= {int}:
                raise ValueError("lengths are a list of whole numbers")
            if min(lengths, default=0) < 0 or sum(lengths) != len(payload):
                raise ValueError("the lengths do not add up to the payload")
            offset = header.get("offset")
            return DataFrame(
                generation,
                Place(_natural(header["sequence"]), _natural(header["byte"])),
                tuple(lengths),
                payload,
                partial=header.get("partial") is True,
                end=_natural(header["end"]),
                last=header.get("last") is True,
                offset=None if offset is None else _natural(offset),
            )
        case "end":
            return EndFrame(generation, _natural(header["end"]), ending_from(header))
        case "refusal":
            return RefusalFrame(generation, Refusal(header["reason"]), _natural(header["start"]))
        case other:
            raise ValueError(f"unknown type {other!r}")


def ending_fields(ending: Ending) -> dict[str, object]:
    """What of an ending is told to remote peers, within ``MAX_ERROR_BYTES``."""
    fields: dict[str, object] = {"status": ending.status}
    if ending.error_type is not None:
        kind = _shorten(ending.error_type, MAX_ERROR_BYTES // 4)
        fields["errorType"] = kind
        room = MAX_ERROR_BYTES - len(_dump(kind))
        fields["errorMessage"] = _shorten(ending.error_message or "", room)
    return fields


def ending_from(fields: dict[str, Any]) -> Ending:
    kind, text = fields.get("errorType"), fields.get("errorMessage")
    if not (kind is None or isinstance(kind, str)) or not (text is None or isinstance(text, str)):
        raise ValueError("an error's type and message are text")
    return Ending(Status(fields["status"]), kind, text)


def encode_v1(text: str) -> bytes:
    """Text as the TypeScript package sends it: lone surrogates become U+FFFD."""
    return to_well_formed(text).encode()


def _natural(value: object) -> int:
    if type(value) is not int or not 0 <= value <= MAX_SAFE_INTEGER:
        raise ValueError(f"not a whole number: {value!r}")
    return value


def _shorten(text: str, room: int) -> str:
    text = to_well_formed(text[:room])
    while len(_dump(text)) > room:
        text = text[: len(text) * 3 // 4].rstrip("…") + "…"
    return text


_to_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def _dump(value: object) -> bytes:
    return _to_json(value).encode()
