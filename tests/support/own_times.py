"""A sound journal that does what the rules only allow: gaps, and a front that goes first."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from resumable_stream.errors import BackendUnavailableError, RecordTooLargeError

if TYPE_CHECKING:
    from collections.abc import Sequence


class Record(NamedTuple):
    data: bytes
    deadline: float


class OwnTimes:
    """A sound journal: each record goes in its own time, and gaps are accepted."""

    max_record_size = 65_536
    # All openings of one class share what is kept, and no other class does.
    logs: ClassVar[dict[str, dict[int, Record]]] = {}

    def __init_subclass__(cls) -> None:
        cls.logs = {}

    def __init__(self) -> None:
        self.closed = False

    async def append(self, log: str, index: int, record: bytes, *, ttl: int) -> bool:
        if len(record) > self.max_record_size:
            raise RecordTooLargeError("too large")
        await self.reach()
        if index in self.live(log):
            return False
        self.write(log, index, record, ttl)
        return True

    async def read(self, log: str, index: int, *, max_bytes: int) -> Sequence[bytes] | None:
        await self.reach()
        records = self.live(log)
        if index not in records:
            return None if any(other > index for other in records) else []
        found = [records[index].data]
        while (record := records.get(index + len(found))) is not None:
            if sum(map(len, found)) + len(record.data) > max_bytes:
                break
            found.append(record.data)
        return found

    async def delete(self, log: str) -> None:
        await self.reach()
        self.logs.pop(log, None)

    async def aclose(self) -> None:
        self.closed = True

    async def reach(self) -> None:
        if self.closed:
            raise BackendUnavailableError("closed")
        await asyncio.sleep(0)

    def live(self, log: str) -> dict[int, Record]:
        now = time.monotonic()
        return {n: record for n, record in self.logs.get(log, {}).items() if record.deadline > now}

    def write(self, log: str, index: int, record: bytes, ttl: float) -> None:
        self.logs.setdefault(log, {})[index] = Record(record, time.monotonic() + ttl)
