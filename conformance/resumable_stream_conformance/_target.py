"""What the command runs the suite against; pytest collects this file."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from resumable_stream_conformance import BackendSuite
from resumable_stream_conformance._opening import open_at
from resumable_stream_conformance._run import target

if TYPE_CHECKING:
    from resumable_stream.ports import Backend


class TestBackend(BackendSuite):
    """The suite on the backend that the command names."""

    capabilities: ClassVar = target().capabilities
    url: ClassVar = target().url

    async def open(self) -> Backend:
        return await open_at(self.url)
