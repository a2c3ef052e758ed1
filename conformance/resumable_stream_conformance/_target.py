"""What the command runs the suite against; pytest collects this file."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from resumable_stream._registry import find_opener
from resumable_stream_conformance import BackendSuite
from resumable_stream_conformance._run import target

if TYPE_CHECKING:
    from resumable_stream.ports import Backend


class TestBackend(BackendSuite):
    """The suite on the backend of the command's URL."""

    capabilities: ClassVar = target().capabilities
    url: ClassVar = target().url

    def open(self) -> Backend:
        return find_opener(self.url)(self.url)
