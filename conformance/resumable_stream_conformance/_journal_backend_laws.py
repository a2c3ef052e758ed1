"""The laws of a journal that belongs to a backend."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from resumable_stream.errors import BackendUnavailableError
from resumable_stream_conformance._journal_stage import LONG, PAGE, fill, read_all
from resumable_stream_conformance._journal_wrapper import journal_of
from resumable_stream_conformance._names import ODD_NAMES
from resumable_stream_conformance._recorder import Recorder
from resumable_stream_conformance._suite import SuiteBase, rule

if TYPE_CHECKING:
    from resumable_stream.journal import Journal
    from resumable_stream.ports import Backend

END = b"end of test"
# Each of these names is that of a key, of a channel and of a log.
SHARED = ODD_NAMES[::4]


class JournalBackendLaws(SuiteBase):
    """What a backend promises of its journal."""

    @rule("JN-8", "BE-4", needs="journal", within=60)
    async def test_log_is_no_key(self) -> None:
        """A key and a log of one name are written, read and deleted apart."""
        here, there = await self.connect_all(2)
        ours, theirs = kept_by(here), kept_by(there)
        for name in map(self.name, SHARED):
            assert await there.get(name) is None
            await fill(ours, name, [b"record"])
            assert await there.get(name) is None
            assert await here.create(name, "value", ttl=LONG) is True
            assert await read_all(theirs, name) == [b"record"]
            await there.set(name, "other", ttl=LONG)
            assert await ours.append(name, 1, b"next", ttl=LONG) is True
            assert await here.get(name) == "other"
            await here.delete(name)
            assert await read_all(theirs, name) == [b"record", b"next"]
            await there.set(name, "last", ttl=LONG)
            await ours.delete(name)
            assert await here.get(name) == "last"
            assert await read_all(theirs, name) == []

    @rule("JN-8", "BE-4", needs="journal")
    async def test_log_is_no_channel(self) -> None:
        """An append reaches no subscription, and a message no log."""
        here, there = await self.connect_all(2)
        ours, theirs = kept_by(here), kept_by(there)
        recorders = {self.name(odd): Recorder() for odd in SHARED}
        for channel, recorder in recorders.items():
            await recorder.subscribe(here, channel)
            await fill(theirs, channel, [b"record"])
            await there.publish(channel, b"message")
        for channel, recorder in recorders.items():
            await there.publish(channel, END)
            await recorder.until_received(END)
            assert recorder.messages == [b"message", END]
            assert await read_all(ours, channel) == [b"record"]

    @rule("BE-3", needs="journal")
    async def test_journal_is_closed_with_its_backend(self) -> None:
        """After a backend was closed every call on its journal is unavailable."""
        closed, stays = await self.connect_all(2)
        journal, log = kept_by(closed), self.name("log")
        await fill(journal, log, [b"zero"])
        await closed.aclose()
        with pytest.raises(BackendUnavailableError):
            await journal.append(log, 1, b"late", ttl=LONG)
        with pytest.raises(BackendUnavailableError):
            await journal.read(log, 0, max_bytes=PAGE)
        assert await read_all(kept_by(stays), log) == [b"zero"]


def kept_by(backend: Backend) -> Journal:
    journal = journal_of(backend)
    assert journal is not None, "the capability 'journal' needs an attribute journal, not None"
    return journal
