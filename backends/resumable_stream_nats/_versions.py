"""The client library that the tests ran with; ``pyproject.toml`` has the same bounds."""

from __future__ import annotations

from resumable_stream.adapter_kit import Tested

TESTED = (Tested("nats-py", "2.14", "2.17"),)
