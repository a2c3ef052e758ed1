"""The simulated broker: keys and channels by a clock of its own, and the faults of messages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from resumable_stream_memory._bus import Bus
from simulation.journal import Logs

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Sequence

    from simulation.adapters import Adapter
    from simulation.clock import SimulatedLoop
    from simulation.timeline import Timeline


@dataclass
class Weather:
    """The present chances, from 0 to 1, of each fault of a message."""

    drop: float = 0.0
    repeat: float = 0.0
    late: float = 0.0
    cut: float = 0.0
    reset: float = 0.0
    """The chance that a call breaks its adapter's connection."""

    @property
    def fair(self) -> bool:
        return not (self.drop or self.repeat or self.late or self.cut or self.reset)


@dataclass(frozen=True)
class Write:
    """One successful change of a key."""

    at: float
    by: Adapter
    key: str
    before: str | None
    after: str
    deadline: float


class Server:
    """Keys and channels, both in the memory backend's bus, by the broker's own clock."""

    def __init__(self, loop: SimulatedLoop, rng: random.Random, timeline: Timeline) -> None:
        self.loop = loop
        self.rng = rng
        self.timeline = timeline
        self.bus = Bus()
        self.logs = Logs(loop, rng, timeline)
        self.down = False
        self.weather = Weather()
        self.writes: list[Write] = []
        self.published: dict[str, int] = {}
        self.adapters: list[Adapter] = []
        self.on_publish: Callable[[Adapter, str, bytes], None] = lambda *_: None
        self._snapshot: dict[str, tuple[str, float]] = {}

    def write(
        self,
        by: Adapter,
        key: str,
        value: str,
        ttl: int,
        only_if: Callable[[str | None], bool],
    ) -> bool:
        now = self.loop.now
        before = self.bus.get(key, now)
        written = self.bus.write(key, value, deadline=now + ttl, now=now, only_if=only_if)
        self.timeline.note(by.host, "writes" if written else "may not write", key, before, value)
        if written:
            self.writes.append(Write(now, by, key, before, value, now + ttl))
        return written

    def increment(self, by: Adapter, key: str) -> None:
        """Count up and keep the time to live, as a TypeScript peer does when it starts or joins."""
        entry = self.bus._keys.get(key)
        if entry is not None and entry[1] > self.loop.now and entry[0].isdigit():
            value = str(int(entry[0]) + 1)
            self.bus._keys[key] = (value, entry[1])
            self.timeline.note(by.host, "increments", key, value)

    def publish(self, by: Adapter, messages: Sequence[tuple[str, bytes]]) -> None:
        for channel, message in messages:
            self.timeline.note(by.host, "publishes", channel, message)
            self.published[by.host.name] = self.published.get(by.host.name, 0) + 1
            self.on_publish(by, channel, message)
            self.bus.publish(channel, message)

    def snapshot(self) -> None:
        self._snapshot = dict(self.bus._keys)
        self.logs.snapshot()

    def stop(self) -> None:
        self.down = True
        for adapter in self.adapters:
            adapter.disconnect()

    def start(self, keys: str, logs: str) -> None:
        """Come back with the keys as they were (``kept``), with ``none``, or with ``old`` ones."""
        self.down = False
        if keys != "kept":
            self.bus._keys = dict(self._snapshot) if keys == "old" else {}
        self.logs.restart(logs)
        for adapter in self.adapters:
            adapter.reconnect_soon()
