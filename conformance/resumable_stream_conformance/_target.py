"""What the command runs the suite against; pytest collects this file."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from resumable_stream_conformance import BackendSuite, JournalSuite
from resumable_stream_conformance._opening import open_backend_at, open_journal_at
from resumable_stream_conformance._run import target

if TYPE_CHECKING:
    from resumable_stream.journal import Journal
    from resumable_stream.ports import Backend

if target().kind == "backend":

    class TestBackend(BackendSuite):
        """The suite on the backend that the command names."""

        capabilities: ClassVar = target().capabilities
        url: ClassVar = target().url

        async def open(self) -> Backend:
            return await open_backend_at(self.url)

else:

    class TestJournal(JournalSuite):
        """The suite on the journal that the command names."""

        url: ClassVar = target().url

        async def open(self) -> Journal:
            return await open_journal_at(self.url)
