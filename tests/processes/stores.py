"""Where processes keep the text of their streams, and what really stands there."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from resumable_stream._protocol.names import Names
from resumable_stream._protocol.records import decode_record
from resumable_stream._protocol.sentinel import generation_of
from resumable_stream._protocol.wire import DataFrame, EndFrame
from resumable_stream_sqlite import SqliteJournal
from support.brokers import BROKERS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from processes.workers import Crew, Worker
    from resumable_stream.journal import Journal
    from support.brokers import Broker

# A broker that keeps the text itself, or beside a file that does.
STORES = ("redis", "nats", "redis and sqlite", "nats and sqlite")

_NAMES = Names("resumable-stream")
_PAGE = 1024 * 1024


@dataclass(frozen=True)
class Written:
    """What a log has: its text, and how it says that the stream has ended, if it does."""

    text: str
    ending: str | None


class Store:
    """A broker, and the journal of its streams, which a test reads past the code under test.

    Attributes:
        broker: the broker.
        url: the journal's own, if it is not the broker's.
    """

    def __init__(self, broker: Broker, journal: Journal, url: str | None) -> None:
        self.broker = broker
        self.url = url
        self._journal = journal

    async def worker(self, crew: Crew, *, holds: bool = False, **options: Any) -> Worker:
        more = {"journal": self.url, "holds": holds}
        return await crew.worker(self.broker.url, more=more, **options)

    def generation(self, stream: str) -> int:
        """Return the generation of a stream that runs."""
        return generation_of(self.broker.value(_NAMES.sentinel(stream)) or "")

    async def written(self, stream: str, generation: int) -> Written:
        """Read a log."""
        log, index = _NAMES.journal(stream, generation), 0
        text, ending = "", None
        while records := await self._journal.read(log, index, max_bytes=_PAGE):
            for record in records:
                for frame in decode_record(stream, generation, record):
                    match frame:
                        case DataFrame():
                            text += "".join(frame.texts)
                        case EndFrame():
                            ending = str(frame.ending.status)
            index += len(records)
        return Written(text, ending)


@asynccontextmanager
async def store(kind: str, directory: Path) -> AsyncIterator[Store]:
    """Start a broker; its journal is the file, or its own."""
    name, _, apart = kind.partition(" and ")
    with BROKERS[name]() as broker:
        if apart:
            path = directory / "answers.db"
            journal = SqliteJournal(path)
            yield Store(broker, journal, f"sqlite:///{path}")
            await journal.aclose()
        else:
            backend: Any = broker.open()
            yield Store(broker, backend.journal, None)
            await backend.aclose()
