"""Third-party journals that each break one law, found by the URL ``brokenjournal://law``."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, ClassVar

from resumable_stream.errors import RecordTooLargeError
from resumable_stream_conformance import JournalWrapper
from resumable_stream_memory import MemoryJournal
from support.broken_lives import (
    ConnectsOnce,
    EndsOnce,
    LeavesATask,
    NeedsALoop,
    OutlivesItsEnd,
    StrictDelete,
    TakesAllAlong,
)
from support.own_times import OwnTimes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from resumable_stream import Journal


class RacyAppend(OwnTimes):
    """Looks whether the index is free, then writes."""

    async def append(self, log: str, index: int, record: bytes, *, ttl: int) -> bool:
        found = await self.read(log, index, max_bytes=1)
        if found:
            return False
        return await self.set(log, index, record, ttl)

    async def set(self, log: str, index: int, record: bytes, ttl: int) -> bool:
        if len(record) > self.max_record_size:
            raise RecordTooLargeError("too large")
        await self.reach()
        self.write(log, index, record, ttl)
        return True


class Overwriting(RacyAppend):
    async def append(self, log: str, index: int, record: bytes, *, ttl: int) -> bool:
        return await self.set(log, index, record, ttl)


class LyingIndex(OwnTimes):
    """Writes at the end, whatever the index."""

    async def append(self, log: str, index: int, record: bytes, *, ttl: int) -> bool:
        return await super().append(log, max(self.live(log), default=-1) + 1, record, ttl=ttl)


class ClaimsTheTaken(OwnTimes):
    """Takes an append of the newest index for its own, sent twice."""

    async def append(self, log: str, index: int, record: bytes, *, ttl: int) -> bool:
        written = await super().append(log, index, record, ttl=ttl)
        return written or index == max(self.live(log))


class Truncating(OwnTimes):
    def write(self, log: str, index: int, record: bytes, ttl: float) -> None:
        super().write(log, index, record[:60_000], ttl)


class TextRecords(OwnTimes):
    def write(self, log: str, index: int, record: bytes, ttl: float) -> None:
        super().write(log, index, record.decode("utf-8", "replace").encode(), ttl)


class IgnoredTtl(OwnTimes):
    def write(self, log: str, index: int, record: bytes, ttl: float) -> None:
        super().write(log, index, record, 3600)


class HastyTtl(OwnTimes):
    def write(self, log: str, index: int, record: bytes, ttl: float) -> None:
        super().write(log, index, record, ttl / 2)


class LastTtl(OwnTimes):
    """The time to live is that of the whole log, and each append sets it."""

    def write(self, log: str, index: int, record: bytes, ttl: float) -> None:
        for earlier, kept in self.live(log).items():
            super().write(log, earlier, kept.data, ttl)
        super().write(log, index, record, ttl)


class RenewingRefusal(OwnTimes):
    """A refused append sets the time to live all the same."""

    async def append(self, log: str, index: int, record: bytes, *, ttl: int) -> bool:
        written = await super().append(log, index, record, ttl=ttl)
        if not written:
            for earlier, kept in self.live(log).items():
                self.write(log, earlier, kept.data, ttl)
        return written


class DroppedFront(OwnTimes):
    """Keeps the newest 50 records of a log, and reads on from the oldest of them."""

    def write(self, log: str, index: int, record: bytes, ttl: float) -> None:
        super().write(log, index, record, ttl)
        self.logs[log].pop(index - 50, None)

    async def read(self, log: str, index: int, *, max_bytes: int) -> Sequence[bytes] | None:
        oldest = min(self.live(log), default=0)
        return await super().read(log, max(index, oldest), max_bytes=max_bytes)


class Holes(OwnTimes):
    """Leaves out of a page what does not fit into it, and goes on behind."""

    async def read(self, log: str, index: int, *, max_bytes: int) -> Sequence[bytes] | None:
        found = await super().read(log, index, max_bytes=10**9)
        kept: list[bytes] = []
        for record in found or ():
            if not kept or sum(map(len, kept)) + len(record) <= max_bytes:
                kept.append(record)
        return None if found is None else kept


class SkippedGap(OwnTimes):
    """A read of a missing record gives the next one that is there."""

    async def read(self, log: str, index: int, *, max_bytes: int) -> Sequence[bytes] | None:
        later = [other for other in self.live(log) if other >= index]
        return await super().read(log, min(later, default=index), max_bytes=max_bytes)


class MixedNames(JournalWrapper):
    """Names are those of files on a disk that knows no upper case."""

    async def append(self, log: str, index: int, record: bytes, *, ttl: int) -> bool:
        return await self.inner.append(log.lower(), index, record, ttl=ttl)

    async def read(self, log: str, index: int, *, max_bytes: int) -> Sequence[bytes] | None:
        return await self.inner.read(log.lower(), index, max_bytes=max_bytes)

    async def delete(self, log: str) -> None:
        await self.inner.delete(log.lower())


class WildcardDelete(OwnTimes):
    """A name that ends with an asterisk deletes every log that begins like it."""

    async def delete(self, log: str) -> None:
        await self.reach()
        for other in list(self.logs):
            if other == log or (log.endswith("*") and other.startswith(log[:-1])):
                del self.logs[other]


class NeverDeletes(OwnTimes):
    async def delete(self, log: str) -> None:
        await self.reach()


class DeletesTheNewest(OwnTimes):
    async def delete(self, log: str) -> None:
        await self.reach()
        self.logs.get(log, {}).pop(max(self.live(log), default=-1), None)


class TooMuch(OwnTimes):
    async def read(self, log: str, index: int, *, max_bytes: int) -> Sequence[bytes] | None:
        return await super().read(log, index, max_bytes=10**9)


class BoundlessRecords(OwnTimes):
    """Cuts what is too large, and does not say so."""

    async def append(self, log: str, index: int, record: bytes, *, ttl: int) -> bool:
        return await super().append(log, index, record[: self.max_record_size], ttl=ttl)


class StaleReads(OwnTimes):
    """Every 45th read asks a replica that lacks the newest record of a log of three or more."""

    def __init__(self) -> None:
        super().__init__()
        self.turns = itertools.count(1)

    async def read(self, log: str, index: int, *, max_bytes: int) -> Sequence[bytes] | None:
        found = await super().read(log, index, max_bytes=max_bytes)
        newest = max(self.live(log), default=0)
        behind = next(self.turns) % 45 == 0 and newest > 1
        return found[:-1] if behind and found and index + len(found) > newest else found


class CrossedAnswers(OwnTimes):
    """The answer to a cancelled read goes to the next one."""

    def __init__(self) -> None:
        super().__init__()
        self.answers: list[Sequence[bytes] | None] = []

    async def read(self, log: str, index: int, *, max_bytes: int) -> Sequence[bytes] | None:
        self.answers.append(await super().read(log, index, max_bytes=max_bytes))
        await asyncio.sleep(0)
        return self.answers.pop(0)


class GoneBeyondTheEnd(OwnTimes):
    """Takes an index that was never written for one that is gone."""

    async def read(self, log: str, index: int, *, max_bytes: int) -> Sequence[bytes] | None:
        found = await super().read(log, index, max_bytes=max_bytes)
        return found if index <= max(self.live(log), default=-1) + 1 else None


class Evicting(OwnTimes):
    """Keeps the newest 250 logs, like a cache."""

    def write(self, log: str, index: int, record: bytes, ttl: float) -> None:
        super().write(log, index, record, ttl)
        while len(self.logs) > 250:
            del self.logs[next(iter(self.logs))]


class StuckAfterRefusal(JournalWrapper):
    """A log is never appended to again after it has refused an append."""

    refused: ClassVar[set[str]] = set()

    async def append(self, log: str, index: int, record: bytes, *, ttl: int) -> bool:
        if log in self.refused:
            return False
        written = await self.inner.append(log, index, record, ttl=ttl)
        if not written and not await self.inner.read(log, index, max_bytes=1):
            self.refused.add(log)
        return written


class HalfWritten(OwnTimes):
    """A record of more than a page is written in two steps, and so is half there meanwhile."""

    async def append(self, log: str, index: int, record: bytes, *, ttl: int) -> bool:
        if len(record) <= 4096 or len(record) > self.max_record_size:
            return await super().append(log, index, record, ttl=ttl)
        written = await super().append(log, index, record[:4096], ttl=ttl)
        if written:
            await asyncio.sleep(0)
            self.write(log, index, record, ttl)
        return written


LAWS: dict[str, type[OwnTimes]] = {
    "own-times": OwnTimes,
    "racy-append": RacyAppend,
    "overwriting": Overwriting,
    "lying-index": LyingIndex,
    "claims-the-taken": ClaimsTheTaken,
    "truncating": Truncating,
    "text-records": TextRecords,
    "ignored-ttl": IgnoredTtl,
    "hasty-ttl": HastyTtl,
    "last-ttl": LastTtl,
    "renewing-refusal": RenewingRefusal,
    "dropped-front": DroppedFront,
    "holes": Holes,
    "skipped-gap": SkippedGap,
    "wildcard-delete": WildcardDelete,
    "never-deletes": NeverDeletes,
    "deletes-the-newest": DeletesTheNewest,
    "too-much": TooMuch,
    "boundless-records": BoundlessRecords,
    "stale-reads": StaleReads,
    "crossed-answers": CrossedAnswers,
    "half-written": HalfWritten,
    "gone-beyond-the-end": GoneBeyondTheEnd,
    "evicting": Evicting,
    "outlives-its-end": OutlivesItsEnd,
    "ends-once": EndsOnce,
    "takes-all-along": TakesAllAlong,
    "leaves-a-task": LeavesATask,
    "needs-a-loop": NeedsALoop,
    "connects-once": ConnectsOnce,
    "strict-delete": StrictDelete,
}
WRAPPERS: dict[str, type[JournalWrapper]] = {
    "none": JournalWrapper,
    "mixed-names": MixedNames,
    "stuck-after-refusal": StuckAfterRefusal,
}


def open_broken(url: str) -> Journal:
    law = url.partition("://")[2]
    if law in WRAPPERS:
        return WRAPPERS[law](MemoryJournal(law))
    return LAWS[law]()
