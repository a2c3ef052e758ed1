"""What came over HTTP/1.1: the body out of its chunked encoding, and the text out of its events."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_END = b"\r\n"
_LINE = re.compile(rb"([^\r\n]*)(?:\r\n|\r|\n)")


class BadResponseError(Exception):
    """The server has sent something else than the response that was asked for."""


class Body:
    """Decodes one response, piece by piece.

    Attributes:
        ended: whether the body is complete.
        has_events: whether it consists of server-sent events.
    """

    def __init__(self) -> None:
        self.ended = False
        self.has_events = False
        self._held = b""
        self._has_head = False
        self._chunked = False
        self._left = 0
        self._between = False

    def feed(self, data: bytes) -> bytes:
        """Return the part of the body that the data completes.

        Raises:
            BadResponseError: it is no successful response, or its encoding is broken.
        """
        if self._held:
            data, self._held = self._held + data, b""
        at = 0
        if not self._has_head:
            at = self._head(data)
            if not self._has_head:
                return b""
        return self._chunks(data, at) if self._chunked else self._plain(data, at)

    def _head(self, data: bytes) -> int:
        end = data.find(b"\r\n\r\n")
        if end < 0:
            self._held = data
            return 0
        first, *lines = data[:end].split(_END)
        if first.split(b" ")[1:2] != [b"200"]:
            raise BadResponseError(f"answered {first.decode()!r}: {data[end:][:200].decode()!r}")
        fields = dict(line.lower().split(b": ", 1) for line in lines)
        self.has_events = fields.get(b"content-type", b"").startswith(b"text/event-stream")
        self._chunked = fields.get(b"transfer-encoding") == b"chunked"
        if not self._chunked:
            if b"content-length" not in fields:
                raise BadResponseError("the response has no length, and is not chunked")
            self._left = int(fields[b"content-length"])
        self._has_head = True
        return end + 4

    def _plain(self, data: bytes, at: int) -> bytes:
        found = data[at : at + self._left]
        self._left -= len(found)
        self.ended = not self._left
        return found

    def _chunks(self, data: bytes, at: int) -> bytes:
        parts = []
        while at < len(data) and not self.ended:
            if self._left:
                parts.append(data[at : at + self._left])
                self._left -= len(parts[-1])
                at += len(parts[-1])
                continue
            # A chunk's size is on a line of its own; the chunk before it ends with a line end.
            start = at + 2 * self._between
            end = data.find(_END, start)
            if end < 0:
                self._held = data[at:]
                break
            if data[at:start] not in {b"", _END}:
                raise BadResponseError(f"a chunk is followed by {data[at:start]!r}")
            self._left = _size(data[start:end])
            self.ended = not self._left
            self._between = True
            at = end + 2
        return b"".join(parts)


def _size(line: bytes) -> int:
    try:
        return int(line.partition(b";")[0], 16)
    except ValueError:
        raise BadResponseError(f"{line!r} is not the size of a chunk") from None


def events_of(body: bytes) -> Iterator[tuple[bytes, int]]:
    """Yield the data of each event without a name, and where in the body the event ends."""
    data: list[bytes] = []
    named = False
    for line in _LINE.finditer(body):
        field, _, value = line[1].partition(b":")
        if field == b"data":
            data.append(value.removeprefix(b" "))
        elif field == b"event":
            named = True
        elif not line[1]:
            if data and not named:
                yield b"\n".join(data), line.end()
            data, named = [], False
