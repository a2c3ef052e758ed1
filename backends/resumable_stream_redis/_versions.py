"""The client libraries that the tests ran with; ``pyproject.toml`` has the same bounds."""

from __future__ import annotations

from resumable_stream.adapter_kit import Tested

TESTED = (Tested("redis", "6.2", "8.2"), Tested("hiredis", "3.2", "3.6"))
