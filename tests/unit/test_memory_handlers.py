"""A handler that raises on the memory backend's bus is reported, and loses no other message."""

from __future__ import annotations

import asyncio
from typing import Any

from resumable_stream import Loss
from resumable_stream_memory import MemoryBackend


async def test_a_handler_that_raises_loses_no_other_message() -> None:
    backend = MemoryBackend("raising")
    reported: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _loop, context: reported.append(context))
    heard: list[object] = []

    def hear(what: object) -> None:
        heard.append(what)
        raise ValueError("broken")

    await backend.subscribe("channel", hear, hear)
    await backend.publish_many([("channel", b"first"), ("channel", b"second")])
    await asyncio.sleep(0)
    await backend.aclose()
    await asyncio.sleep(0)
    assert heard == [b"first", b"second", Loss.CLOSED]
    assert [str(one["exception"]) for one in reported] == ["broken"] * 3
