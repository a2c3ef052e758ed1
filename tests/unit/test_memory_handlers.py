"""A handler that raises on the memory backend's bus is reported, and loses no other message."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

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


def test_a_handler_that_interrupts_the_program_keeps_nothing_from_others() -> None:
    got: list[bytes] = []

    def interrupt(_message: bytes) -> None:
        raise KeyboardInterrupt

    async def publish() -> MemoryBackend:
        backend = MemoryBackend("interrupted")
        await backend.subscribe("c", interrupt, print)
        await backend.subscribe("c", got.append, print)
        await backend.publish("c", b"one")
        return backend

    async def publish_again() -> None:
        async with asyncio.timeout(5):
            backend, heard = MemoryBackend("interrupted"), asyncio.Event()

            def hear(message: bytes) -> None:
                got.append(message)
                heard.set()

            await backend.subscribe("d", hear, print)
            await backend.publish("d", b"two")
            await heard.wait()
            await backend.aclose()

    loop = asyncio.new_event_loop()
    task = loop.create_task(publish())
    with pytest.raises(KeyboardInterrupt):
        loop.run_until_complete(task)
    loop.run_until_complete(publish_again())
    loop.run_until_complete(task.result().aclose())
    loop.close()
    assert got == [b"one", b"two"]
