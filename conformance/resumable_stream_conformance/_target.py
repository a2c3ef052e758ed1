"""What the command runs the suite against; pytest collects this file."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, cast

from resumable_stream_conformance import BackendSuite, JournalSuite
from resumable_stream_conformance._opening import opener_of
from resumable_stream_conformance._run import target

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from resumable_stream.journal import Journal
    from resumable_stream.ports import Backend

# The command has looked at what is opened; here it is called as by a test file of one's own.
if target().kind == "backend":

    class TestBackend(BackendSuite):
        """The suite on the backend that the command names."""

        capabilities: ClassVar = target().capabilities
        url: ClassVar = target().url

        def open(self) -> Backend | Awaitable[Backend]:
            return cast("Backend | Awaitable[Backend]", opener_of(self.url)())

else:

    class TestJournal(JournalSuite):
        """The suite on the journal that the command names."""

        url: ClassVar = target().url

        def open(self) -> Journal | Awaitable[Journal]:
            return cast("Journal | Awaitable[Journal]", opener_of(self.url)())
