"""The messages that peers send each other, as bytes.

Requests, framed replies (v2), and the TypeScript package's raw text (v1). Sections 4 to 7 of
PROTOCOL.md specify this module.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

from resumable_stream._protocol.data_header import USUAL_HEADER, data_header
from resumable_stream._protocol.ending_fields import ending_fields, ending_from
from resumable_stream._protocol.fields import MalformedError, choice, dump, natural, read_object
from resumable_stream._protocol.joined_fields import SEPARATOR_CODES, divided, joined_from
from resumable_stream._protocol.places import Place
from resumable_stream._text.joined import Joined
from resumable_stream._text.offsets import OffsetUnit
from resumable_stream._text.utf8 import to_well_formed

if TYPE_CHECKING:
    from resumable_stream._text.endings import Ending

VERSION = 2

# The text with which the npm package resumable-stream ends a listener's channel.
V1_END = "\n\n\nDONE_SENTINEL_hasdfasudfyge374%$%^$EDSATRTYFtydryrte\n"

# Room for a frame's header, without a list of lengths.
HEADER_ROOM = 256

_LISTENER_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")


class RequestType(StrEnum):
    READ = "read"
    LEAVE = "leave"
    CANCEL = "cancel"
    ERASE = "erase"


class Refusal(StrEnum):
    """Why a producer cannot serve a request."""

    TRIMMED = "trimmed"
    INSIDE_PAIR = "inside-pair"
    UNKNOWN_PLACE = "unknown-place"
    OTHER_GENERATION = "other-generation"
    NOT_CONTINUED = "not-continued"
    OTHER_HISTORY = "other-history"


class Request(NamedTuple):
    """A listener's request to a producer, on the stream's request channel."""

    listener_id: str
    version: int = VERSION
    type: RequestType = RequestType.READ
    generation: int | None = None
    skip: int = 0
    unit: OffsetUnit = OffsetUnit.UTF16
    place: Place | None = None
    window: int = 0
    origin: int | None = None  # the earlier run that the place is of


_NOTHING = Joined()


@dataclass(slots=True)
class DataFrame:
    """Chunks from ``place`` on. Without chunks it is an acknowledgement or a heartbeat.

    Listeners share a frame, so nobody changes it. A frozen class takes twice as long to make.

    Attributes:
        joined: the chunks; the first may be the rest of a chunk.
        partial: the end of the last chunk is not in this frame.
        end: the sequence number after the producer's newest chunk.
        last: this frame completes the answer to a request.
        offset: how many units lie before ``place``, in the unit of the answered request.
    """

    generation: int
    place: Place
    joined: Joined = _NOTHING
    partial: bool = False
    end: int = 0
    last: bool = False
    offset: int | None = None
    _texts: list[str] | None = field(default=None, init=False, repr=False, compare=False)
    _after: Place | None = field(default=None, init=False, repr=False, compare=False)

    @property
    def after(self) -> Place:
        """The place after this frame, one for all who ask; only if it is not ``partial``."""
        if self._after is None:
            count = self.joined.number
            self._after = Place(self.place.sequence + count) if count else self.place
        return self._after

    @property
    def texts(self) -> list[str]:
        """The chunks, or parts of chunks, as text: one list for all who ask."""
        if self._texts is None:
            self._texts = self.joined.texts()
        return self._texts


class EndFrame(NamedTuple):
    """The stream is over, and has ``end`` chunks."""

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
    """A message that starts like a frame, but is malformed."""


def encode_request(request: Request) -> bytes:
    if request.version == 1:
        fields: dict[str, object] = {"listenerId": request.listener_id}
        if request.skip:
            fields["skipCharacters"] = request.skip
        return dump(fields)
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
    if request.origin is not None:
        fields["origin"] = request.origin
    return dump(fields)


def decode_request(message: bytes) -> Request | None:
    """Return the request; None for anything that is not one."""
    try:
        return _request(read_object(message))
    except MalformedError:
        return None


def _request(fields: dict[str, Any]) -> Request:
    listener_id = fields.get("listenerId")
    if not isinstance(listener_id, str) or not _LISTENER_ID.fullmatch(listener_id):
        raise MalformedError("nobody to answer")
    skip = natural(fields.get("skipCharacters"), 0)
    if natural(fields.get("version"), 1) == 1:
        return Request(listener_id, version=1, skip=skip)
    generation, sequence = fields.get("generation"), fields.get("sequence")
    origin = fields.get("origin")
    place = None
    if sequence is not None:
        place = Place(natural(sequence), natural(fields.get("byte"), 0))
    return Request(
        listener_id,
        version=VERSION,  # a peer of a later version is answered in this one
        type=choice(RequestType, fields.get("type"), RequestType.READ),
        generation=None if generation is None else natural(generation),
        skip=skip,
        unit=choice(OffsetUnit, fields.get("unit"), OffsetUnit.UTF16),
        place=place,
        window=natural(fields.get("window"), 0),
        origin=None if origin is None else natural(origin),
    )


def encode_frame(channel_id: str, frame: Frame) -> bytes:
    """Encode a frame for the channel with the given listener id."""
    return b"".join(parts_of(channel_id, frame))


def parts_of(channel_id: str, frame: Frame) -> tuple[bytes, ...]:
    """Encode a frame, without copying its text."""
    match frame:
        case DataFrame():
            return frame_prefix(channel_id), data_header(frame), b"\n", frame.joined.data
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
    return frame_prefix(channel_id), dump(header), b"\n"


def frame_prefix(channel_id: str) -> bytes:
    """Return the start of every frame on the channel, which no text of a v1 peer can imitate."""
    return channel_id.encode() + b" "


class Decoder:
    """Decodes a message once for all the listeners that get it in succession."""

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
    """Return the frame; None if the message is not framed, like those of a v1 producer.

    Raises:
        MalformedFrameError: the message starts like a frame, but is malformed.
    """
    prefix = frame_prefix(channel_id)
    if not message.startswith(prefix):
        return None
    try:
        if usual := USUAL_HEADER.match(message, len(prefix)):
            return _data_frame(usual, message[usual.end() :])
        head, separator, payload = message[len(prefix) :].partition(b"\n")
        if not separator:
            raise MalformedError("no header")  # noqa: TRY301
        return _frame(read_object(head), payload)
    except MalformedError as error:
        raise MalformedFrameError(
            f"a malformed frame of {len(message)} bytes was ignored"
        ) from error


def _data_frame(header: re.Match[bytes], payload: bytes) -> DataFrame:
    generation, sequence, byte, count, size, code, end, partial, last, offset = header.groups()
    return DataFrame(
        int(generation),
        Place(int(sequence), int(byte)),
        divided(payload, int(count), int(size), SEPARATOR_CODES[code]),
        partial is not None,
        int(end),
        last is not None,
        None if offset is None else int(offset),
    )


def _frame(header: dict[str, Any], payload: bytes) -> Frame:
    generation = natural(header.get("generation"))
    match header.get("type"):
        case "data":
            offset = header.get("offset")
            return DataFrame(
                generation,
                Place(natural(header.get("sequence")), natural(header.get("byte"))),
                joined_from(header, payload),
                partial=header.get("partial") is True,
                end=natural(header.get("end")),
                last=header.get("last") is True,
                offset=None if offset is None else natural(offset),
            )
        case "end":
            return EndFrame(generation, natural(header.get("end")), ending_from(header))
        case "refusal":
            refusal = choice(Refusal, header.get("reason"))
            return RefusalFrame(generation, refusal, natural(header.get("start")))
        case _:
            raise MalformedError("a frame of an unknown type")


def encode_v1(text: str) -> bytes:
    """Encode text as the TypeScript package does: lone surrogates become U+FFFD."""
    return to_well_formed(text).encode()
