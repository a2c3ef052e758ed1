"""Journals that break a law of opening, closing, or of the backend that they belong to."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from resumable_stream.errors import BackendUnavailableError
from resumable_stream_conformance import BackendWrapper, JournalWrapper
from resumable_stream_memory import MemoryBackend
from support.own_times import OwnTimes

if TYPE_CHECKING:
    from collections.abc import Callable

    from resumable_stream.ports import Backend


class OutlivesItsEnd(OwnTimes):
    async def aclose(self) -> None:
        """Close nothing."""


class EndsOnce(OwnTimes):
    async def aclose(self) -> None:
        await self.reach()
        await super().aclose()


class TakesAllAlong(OwnTimes):
    """Closing a journal takes along what it kept."""

    async def aclose(self) -> None:
        await super().aclose()
        self.logs.clear()


class LeavesATask(OwnTimes):
    """A task that holds the connection outlives the journal."""

    task: asyncio.Task[Any] | None = None

    async def reach(self) -> None:
        await super().reach()
        self.task = self.task or asyncio.create_task(asyncio.Event().wait())


class NeedsALoop(OwnTimes):
    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.get_running_loop()


class ConnectsOnce(OwnTimes):
    """A call while the first one is connecting is refused."""

    connecting = connected = False

    async def reach(self) -> None:
        await super().reach()
        if self.connecting:
            raise BackendUnavailableError("connecting")
        if not self.connected:
            self.connecting = True
            await asyncio.sleep(0)
            self.connecting, self.connected = False, True


class StrictDelete(OwnTimes):
    async def delete(self, log: str) -> None:
        await self.reach()
        del self.logs[log]


class KeyIsLog(BackendWrapper):
    """A log and a key of one name are one thing to the store."""

    async def delete(self, key: str) -> None:
        await self.inner.delete(key)
        if self.journal is not None:
            await self.journal.delete(key)


class Announcing(JournalWrapper):
    """Tells of each append on the channel of the same name."""

    def __init__(self, backend: MemoryBackend) -> None:
        super().__init__(backend.journal)
        self.backend = backend

    async def append(self, log: str, index: int, record: bytes, *, ttl: int) -> bool:
        written = await self.inner.append(log, index, record, ttl=ttl)
        await self.backend.publish(log, record)
        return written


class ForgottenJournal(BackendWrapper):
    """Closing the backend does not close its journal."""

    def __init__(self, inner: Backend) -> None:
        super().__init__(inner)
        self.journal = OwnTimes()


def open_announcing() -> Backend:
    inner = MemoryBackend("announcing")
    backend = BackendWrapper(inner)
    backend.journal = Announcing(inner)
    return backend


def open_without() -> Backend:
    backend = BackendWrapper(MemoryBackend("without"))
    backend.journal = None
    return backend


BACKENDS: dict[str, Callable[[], Backend]] = {
    "announcing": open_announcing,
    "forgotten": lambda: ForgottenJournal(MemoryBackend("forgotten")),
    "key-is-log": lambda: KeyIsLog(MemoryBackend("key-is-log")),
}
