"""Everything that happened in a run, to explain a failure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from resumable_stream._protocol.wire import MalformedFrameError, decode_frame, decode_request

if TYPE_CHECKING:
    from simulation.clock import Host, SimulatedLoop

_CHUNK = ":rs:chunk:"
_REQUEST = ":rs:request:"


class Timeline:
    def __init__(self, loop: SimulatedLoop) -> None:
        self._loop = loop
        self.events: list[tuple[float, str, tuple[Any, ...]]] = []
        self.losses: list[tuple[float, str, str]] = []

    def note(self, who: Host | None, *what: Any) -> None:
        self.events.append((self._loop.now, who.name if who else "", what))

    def lost(self, who: Host, channel: str, how: str) -> None:
        """Note that a message did not reach the host as it was sent."""
        self.losses.append((self._loop.now, who.name, channel))
        self.note(who, "misses a message,", how, channel)

    def losses_between(self, start: float, end: float, channel: str = "") -> int:
        """Count the lost messages on channels whose name ends with ``channel``."""
        return sum(start <= at <= end and name.endswith(channel) for at, _who, name in self.losses)

    def text(self) -> str:
        return "\n".join(
            f"{at - 1_000:10.4f}  {who:<10} {' '.join(map(_readable, _frames(what)))}"
            for at, who, what in self.events
        )


def _frames(what: tuple[Any, ...]) -> tuple[Any, ...]:
    if what[0] != "publishes":
        return what
    channel, message = what[1:]
    if _REQUEST in channel:
        return ("asks", channel.partition(_REQUEST)[2], decode_request(message) or message)
    listener = channel.partition(_CHUNK)[2]
    try:
        return ("sends to", listener, decode_frame(listener, message) or message)
    except MalformedFrameError:
        return ("sends to", listener, message)


def _readable(value: Any) -> str:
    return value if isinstance(value, str) and value.isprintable() else f"{value!r:.300}"
