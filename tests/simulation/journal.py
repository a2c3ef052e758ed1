"""The journal in the simulated broker, and a host's way to it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from resumable_stream import (
    AccessDeniedError,
    BackendUnavailableError,
    JournalFullError,
    OutcomeUnknownError,
    RecordTooLargeError,
)

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from simulation.adapters import Adapter
    from simulation.clock import Host, SimulatedLoop
    from simulation.timeline import Timeline

T = TypeVar("T")

# The share of the lost writes that are executed later, and the delay.
_ZOMBIES = 0.5
_LATE = (0.0, 6.0)
_SLOW = 2.5
_REFUSED = 0.02


class Mishap(StrEnum):
    """What happens to the journal alone. The first four pass; the others happen at once."""

    AWAY = "away"
    SLOW = "slow"
    FULL = "full"
    FORBIDDEN = "forbidden"
    EMPTIED = "emptied"
    """All logs are lost."""
    CUT = "cut"
    """The last records of each log are lost, as by a failover that had not replicated them."""


LOSSES = (Mishap.EMPTIED, Mishap.CUT)


@dataclass
class Habits:
    """How this journal differs from others that keep the contract, and its present troubles.

    Attributes:
        elsewhere: it is not at the broker, whose troubles it does not share.
        front_expires: each record expires for itself; otherwise all live as long as the last one.
        takes_gaps: an append that leaves a gap is written.
        lost_reply: the chance that an append is executed, and nobody knows.
        lost_write: the chance that it is not, or only later, and nobody knows.
    """

    elsewhere: bool = False
    front_expires: bool = False
    takes_gaps: bool = False
    max_record_size: int = 65_536
    lost_reply: float = 0.0
    lost_write: float = 0.0
    mishaps: list[Mishap] = field(default_factory=list)


@dataclass(frozen=True)
class Append:
    """A record that was written.

    Attributes:
        asked: when its writer sent it, which may be long before ``at``.
    """

    at: float
    by: Host
    log: str
    index: int
    record: bytes
    asked: float


@dataclass(frozen=True)
class Gone:
    """Records that are no longer there: all from ``first`` on, or all before ``until``."""

    at: float
    log: str
    why: str
    first: int
    until: int


@dataclass
class _Log:
    following: int = 0
    records: dict[int, tuple[bytes, float]] = field(default_factory=dict)

    def copy(self) -> _Log:
        return _Log(self.following, dict(self.records))

    def common(self, other: _Log) -> int:
        """Return up to which record both say the same, as far as it has not expired."""
        for index in range(least := min(self.following, other.following)):
            mine, others = self.records.get(index), other.records.get(index)
            if mine and others and mine[0] != others[0]:
                return index
        return least


class Logs:
    """All logs, by the broker's clock, and the truth about what was written and what was lost."""

    def __init__(self, loop: SimulatedLoop, rng: random.Random, timeline: Timeline) -> None:
        self.habits = Habits()
        self.events: list[Append | Gone] = []
        self._loop = loop
        self._rng = rng
        self._timeline = timeline
        self._logs: dict[str, _Log] = {}
        self._snapshot: dict[str, _Log] = {}

    def append(
        self, by: Host, asked: float, name: str, index: int, record: bytes, ttl: int
    ) -> bool:
        self._expire(name)
        log = self._logs.get(name) or _Log()
        fits = index >= log.following if self.habits.takes_gaps else index == log.following
        self._timeline.note(by, "appends" if fits else "may not append", name, index, record)
        if fits:
            self._logs[name] = log
            log.following = index + 1
            log.records[index] = (record, self._loop.now + ttl)
            self.events.append(Append(self._loop.now, by, name, index, record, asked))
        return fits

    def read(self, name: str, index: int, max_bytes: int) -> list[bytes] | None:
        self._expire(name)
        log = self._logs.get(name)
        if log is None or index >= log.following:
            return []
        found: list[bytes] = []
        while (entry := log.records.get(index)) is not None:
            if found and sum(map(len, found)) + len(entry[0]) > max_bytes:
                break
            found.append(entry[0])
            index += 1
        return found or None

    def delete(self, name: str) -> None:
        self._drop(name, 0, "deleted")

    def texts(self, name: str) -> list[bytes]:
        """Return all records that can be read from the first on."""
        return self.read(name, 0, 10**9) or []

    def snapshot(self) -> None:
        self._snapshot = {name: log.copy() for name, log in self._logs.items()}

    def restart(self, logs: str) -> None:
        """Come back with the logs as they were (``kept``), with ``none``, or with ``old`` ones."""
        if logs == "kept":
            return
        for name, log in list(self._logs.items()):
            old = self._snapshot.get(name) if logs == "old" else None
            self._drop(name, log.common(old) if old else 0, "lost")
        if logs == "old":
            for name, log in self._snapshot.items():
                self._restore(name, log)

    def suffer(self, mishap: Mishap) -> None:
        for name, log in list(self._logs.items()):
            if mishap is Mishap.EMPTIED:
                self._drop(name, 0, "lost")
            elif mishap is Mishap.CUT:
                self._drop(name, max(0, log.following - self._rng.randrange(1, 4)), "lost")

    def _restore(self, name: str, old: _Log) -> None:
        """Bring a log back as it was: what it says now is written again, as far as is known."""
        present = self._logs.get(name)
        self._logs[name] = old.copy()
        for index in range(present.following if present else 0, old.following):
            if index in old.records:
                record = old.records[index][0]
                first = self._written(name, index, record)
                self.events.append(replace(first, at=self._loop.now))
                self._timeline.note(first.by, "has a record restored", name, index)

    def _written(self, name: str, index: int, record: bytes) -> Append:
        return next(
            one
            for one in reversed(self.events)
            if isinstance(one, Append) and (one.log, one.index, one.record) == (name, index, record)
        )

    def _expire(self, name: str) -> None:
        log, now = self._logs.get(name), self._loop.now
        if log is None:
            return
        alive = [index for index, (_, deadline) in log.records.items() if deadline > now]
        if not alive:
            self._drop(name, 0, "expired")
        elif self.habits.front_expires and min(alive) > min(log.records):
            log.records = {index: one for index, one in log.records.items() if index in alive}
            self.events.append(Gone(now, name, "expired", 0, min(alive)))
            self._timeline.note(None, "the front expires of", name, min(alive))

    def _drop(self, name: str, first: int, why: str) -> None:
        log = self._logs.get(name)
        if log is None or first >= log.following:
            return
        self.events.append(Gone(self._loop.now, name, why, first, log.following))
        self._timeline.note(None, "records are", why, name, first, log.following)
        log.records = {index: one for index, one in log.records.items() if index < first}
        log.following = first
        if not log.records:
            del self._logs[name]


class SimulatedJournal:
    """One host's journal: unless it is elsewhere, its calls suffer what those to the broker do."""

    def __init__(self, adapter: Adapter) -> None:
        self._adapter = adapter
        self._server = adapter.server
        self._logs = adapter.server.logs

    @property
    def max_record_size(self) -> int:
        return self._logs.habits.max_record_size

    async def append(self, log: str, index: int, record: bytes, *, ttl: int) -> bool:
        if len(record) > self.max_record_size:
            raise RecordTooLargeError(f"{len(record)} bytes")
        server, habits = self._server, self._logs.habits
        asked = server.loop.now
        await self._suffer()
        if Mishap.FULL in habits.mishaps:
            raise JournalFullError("no room")
        host = self._adapter.host
        execute = partial(self._logs.append, host, asked, log, index, record, ttl)
        chance = server.rng.random
        if habits.lost_write and chance() < habits.lost_write:
            if chance() < _ZOMBIES:
                server.timeline.note(host, "will have an append executed", log, index)
                server.loop.at(server.loop.now + server.rng.uniform(*_LATE), None, execute)
            await asyncio.sleep(server.rng.uniform(0, 1))
            raise OutcomeUnknownError("perhaps executed")
        written = await self._call(execute, writes=True)
        if habits.lost_reply and chance() < habits.lost_reply:
            raise OutcomeUnknownError("executed, and nobody knows")
        return written

    async def read(self, log: str, index: int, *, max_bytes: int) -> list[bytes] | None:
        await self._suffer()
        return await self._call(partial(self._logs.read, log, index, max_bytes))

    async def delete(self, log: str) -> None:
        await self._suffer()
        await self._call(partial(self._logs.delete, log), writes=True)

    async def _call(self, execute: Callable[[], T], *, writes: bool = False) -> T:
        adapter, loop = self._adapter, self._server.loop
        if not self._logs.habits.elsewhere:
            return await adapter.call(execute, writes=writes)
        answered: asyncio.Future[T] = loop.create_future()

        def arrive() -> None:
            loop.at(adapter.arrival(), adapter.host, partial(answer, execute()))

        def answer(result: T) -> None:
            if not answered.done():
                answered.set_result(result)

        loop.at(adapter.arrival(), None, arrive)
        return await answered

    async def _suffer(self) -> None:
        mishaps = self._logs.habits.mishaps
        if not mishaps:
            return
        if Mishap.SLOW in mishaps:
            await asyncio.sleep(self._server.rng.uniform(0, _SLOW))
        if Mishap.FORBIDDEN in mishaps:
            await asyncio.sleep(_REFUSED)
            raise AccessDeniedError("not allowed")
        if Mishap.AWAY in mishaps:
            await asyncio.sleep(self._server.rng.uniform(0, 1))
            raise BackendUnavailableError("the journal is away")
