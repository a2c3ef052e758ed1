"""Put a stream together again from frames that may be lost, doubled or out of order."""

from __future__ import annotations

from resumable_stream._protocol.places import Place
from resumable_stream._protocol.wire import DataFrame, EndFrame
from resumable_stream._text.utf8 import decode_text

# At most this many frames are kept: a bound of their bytes would not bound empty chunks.
_MAX_HELD = 4096


class Assembly:
    """Gives each chunk once and in order, whatever happens to the frames.

    Args:
        hold: how many bytes of frames to keep that came before their turn.
        place: where to begin; None if the first reply is to say so.

    Attributes:
        place: where the text continues.
        final: the end, once it is known.
        known_end: how many chunks the stream has, as far as is known.
    """

    __slots__ = (
        "_held",
        "_held_bytes",
        "_hold",
        "_partial",
        "final",
        "known_end",
        "place",
    )

    def __init__(self, hold: int, place: Place | None = None) -> None:
        self.place = place
        self.final: EndFrame | None = None
        self.known_end = 0
        self._hold = hold
        self._held: dict[Place, DataFrame] = {}
        self._held_bytes = 0
        self._partial = bytearray()

    @property
    def complete(self) -> bool:
        """Everything up to the stream's end has come."""
        return (
            self.final is not None
            and self.place is not None
            and self.place.sequence >= self.final.end
        )

    @property
    def behind(self) -> bool:
        """The producer has text that has not come."""
        return self.place is None or self.place.sequence < self.known_end

    def knows(self, frame: DataFrame) -> bool:
        """Tell whether a frame without text says nothing that is not known."""
        return frame.place == self.place and frame.end == self.known_end

    def note(self, frame: DataFrame | EndFrame) -> None:
        """Take in how far the stream goes, and none of the frame's text."""
        self.known_end = max(self.known_end, frame.end)
        if isinstance(frame, EndFrame):
            self.final = frame

    def accept_whole(self, frame: DataFrame) -> bool:
        """Take in a frame if just its own chunks come next in the text; tell whether they do."""
        if frame.place != self.place or frame.partial or self._held or self._partial:
            return False
        self.known_end = max(self.known_end, frame.end)
        self.place = frame.after
        return True

    def accept(self, frame: DataFrame) -> list[str]:
        """Take in a frame; return the chunks that it completes. The list must not be changed."""
        self.note(frame)
        if self.place is None:
            if frame.offset is None:
                return []
            self.place = frame.place
        if self.accept_whole(frame):
            return frame.texts
        chunks: list[str] = []
        if frame.place > self.place:
            self._keep(frame)
            return chunks
        self._absorb(frame, chunks)
        while self._held:
            earliest = min(self._held)
            if earliest > self.place:
                break
            held = self._held.pop(earliest)
            self._held_bytes -= len(held.joined.data)
            self._absorb(held, chunks)
        return chunks

    def _keep(self, frame: DataFrame) -> None:
        size = len(frame.joined.data)
        if (
            frame.joined.number
            and frame.place not in self._held
            and len(self._held) < _MAX_HELD
            and self._held_bytes + size <= self._hold
        ):
            self._held[frame.place] = frame
            self._held_bytes += size

    def _absorb(self, frame: DataFrame, chunks: list[str]) -> None:
        assert self.place is not None  # noqa: S101
        sequence, byte = frame.place
        complete = frame.joined.number - frame.partial
        parts = frame.joined.parts()
        for at, part in enumerate(parts):
            if sequence == self.place.sequence:
                known, size = self.place.byte - byte, len(part)
                if known < 0 or known > size:
                    return  # a piece before this one is missing, or this one brings nothing new
                if at < complete and not known and not self._partial:
                    # In step: all that follows is new.
                    chunks += frame.texts[at:complete]
                    self.place = Place(sequence + complete - at)
                    if frame.partial:
                        self._partial += parts[-1]
                        self.place = Place(self.place.sequence, len(parts[-1]))
                    return
                self._partial += part[known:]
                if at == complete:
                    self.place = Place(sequence, byte + size)
                else:
                    chunks.append(decode_text(bytes(self._partial)))
                    self._partial.clear()
                    self.place = Place(sequence + 1)
            sequence, byte = sequence + 1, 0
