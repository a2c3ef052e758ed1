"""The records of a journal: the frames of the wire, so that kept text is sent text."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from resumable_stream._protocol.data_header import USUAL_HEADER
from resumable_stream._protocol.fields import MalformedError, natural, read_object
from resumable_stream._protocol.names import live_id
from resumable_stream._protocol.wire import (
    DataFrame,
    EndFrame,
    MalformedFrameError,
    decode_frame,
    frame_prefix,
    parts_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

Recorded = DataFrame | EndFrame


def encode_record(stream_id: str, *frames: Recorded) -> bytes:
    """Return frames of one generation as a record."""
    parts = (parts_of(live_id(stream_id, frame.generation), frame) for frame in frames)
    return b"".join(chain.from_iterable(parts))


def decode_record(stream_id: str, generation: int, record: bytes) -> list[Recorded]:
    """Undo ``encode_record``.

    Raises:
        MalformedFrameError: it is no record of this generation of the stream.
    """
    channel_id, frames = live_id(stream_id, generation), []
    for part in _parts(record, len(frame_prefix(channel_id))):
        frame = decode_frame(channel_id, part)
        if not isinstance(frame, DataFrame | EndFrame) or frame.generation != generation:
            raise MalformedFrameError(f"a record of {len(record)} bytes is no part of its stream")
        frames.append(frame)
    return frames


def _parts(record: bytes, prefix: int) -> Iterator[bytes]:
    """Cut a record into its frames: a data frame's header says how long its text is."""
    at = 0
    while at < len(record):
        if usual := USUAL_HEADER.match(record, at + prefix):
            after = usual.end() + int(usual[5])
        else:
            after = record.find(b"\n", at) + 1
            after += _size(record[at + prefix : after - 1]) if after else len(record)
        yield record[at:after] if at or after < len(record) else record
        at = after


def _size(head: bytes) -> int:
    """Return how many bytes follow a header; 0 if that cannot be read, which decoding finds."""
    try:
        return natural(read_object(head).get("size"), 0)
    except MalformedError:
        return 0
