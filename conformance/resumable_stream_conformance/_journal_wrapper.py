"""Journals around a journal: one that passes every call on, one that counts calls and bytes."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from resumable_stream.journal import OpenedJournal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from resumable_stream.journal import Journal
    from resumable_stream.ports import Backend


def journal_of(backend: Backend) -> Journal | None:
    """Return the backend's journal; None if it has none."""
    return getattr(backend, "journal", None)


class JournalWrapper:
    """A journal that passes every call on to another; override the methods that differ."""

    def __init__(self, inner: Journal) -> None:
        self.inner = inner

    @property
    def max_record_size(self) -> int:
        return self.inner.max_record_size

    async def append(self, log: str, index: int, record: bytes, *, ttl: int) -> bool:
        return await self.inner.append(log, index, record, ttl=ttl)

    async def read(self, log: str, index: int, *, max_bytes: int) -> Sequence[bytes] | None:
        return await self.inner.read(log, index, max_bytes=max_bytes)

    async def delete(self, log: str) -> None:
        await self.inner.delete(log)

    async def aclose(self) -> None:
        """Do nothing if the inner journal has no ``aclose``, such as that of a backend."""
        if isinstance(self.inner, OpenedJournal):
            await self.inner.aclose()


class ObservedJournal(JournalWrapper):
    """A journal that counts its calls, also those that fail.

    Attributes:
        calls: how often each method was called.
        bytes_appended: the size of all records that were written.
        bytes_read: the size of all records that were read.
    """

    def __init__(self, inner: Journal) -> None:
        super().__init__(inner)
        self.calls: Counter[str] = Counter()
        self.bytes_appended = 0
        self.bytes_read = 0

    async def append(self, log: str, index: int, record: bytes, *, ttl: int) -> bool:
        self.calls["append"] += 1
        written = await super().append(log, index, record, ttl=ttl)
        self.bytes_appended += len(record) * written
        return written

    async def read(self, log: str, index: int, *, max_bytes: int) -> Sequence[bytes] | None:
        self.calls["read"] += 1
        records = await super().read(log, index, max_bytes=max_bytes)
        self.bytes_read += sum(map(len, records or ()))
        return records

    async def delete(self, log: str) -> None:
        self.calls["delete"] += 1
        await super().delete(log)
