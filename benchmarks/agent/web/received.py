"""A response as it was received: its text, what is wrong with it, and when each chunk came."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.agent.texts import CHUNK
from benchmarks.agent.web.decoding import BadResponseError, Body, events_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class Received:
    def __init__(
        self, pieces: Iterable[bytes], times: Iterable[int], lost: Exception | None = None
    ) -> None:
        decoder = Body()
        parts: list[bytes] = []
        self._arrived: list[tuple[int, int]] = []
        self._fault = f"{type(lost).__name__}: {lost}" if lost else None
        length = 0
        try:
            for piece, moment in zip(pieces, times, strict=True):
                parts.append(decoder.feed(piece))
                length += len(parts[-1])
                self._arrived.append((length, moment))
        except BadResponseError as error:
            self._fault = str(error)
        self._has_events = decoder.has_events
        self._is_whole = decoder.ended
        self._body = b"".join(parts)

    def text(self) -> bytes:
        if not self._has_events:
            return self._body
        return b"".join(data for data, _ in events_of(self._body))

    def failure(self) -> str | None:
        """Return why the response has not come whole; None if it has."""
        return self._fault or (None if self._is_whole else "the response was cut")

    def fault(self, expected: bytes) -> str | None:
        """Return what is wrong with a response that has ended; None if it is exact."""
        return self.failure() or _difference(self.text(), expected)

    def early_fault(self, expected: bytes) -> str | None:
        """Return what is wrong with a response that goes on."""
        text = self.text()
        return self._fault or _difference(text, expected[: len(text)])

    def arrivals(self) -> Iterator[int]:
        """Yield when each chunk was complete."""
        arrived = iter(self._arrived)
        reached, moment = 0, 0
        for end in self._chunk_ends():
            while reached < end:
                reached, moment = next(arrived)
            yield moment

    def _chunk_ends(self) -> Iterator[int]:
        """Yield where in the body each chunk ends."""
        if not self._has_events:
            yield from range(CHUNK, len(self._body) + 1, CHUNK)
            return
        position, number = 0, 1
        for data, end in events_of(self._body):
            position += len(data)
            while number * CHUNK <= position:
                yield end
                number += 1


def _difference(text: bytes, expected: bytes) -> str | None:
    if text == expected:
        return None
    for at in range(0, max(len(text), len(expected)), CHUNK):
        here, there = text[at : at + CHUNK], expected[at : at + CHUNK]
        if here != there:
            return f"at {at}: {here!r:.60} instead of {there!r:.60}"
    return None
