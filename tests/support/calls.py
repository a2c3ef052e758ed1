"""Helpers that make one call of each kind on a backend."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from resumable_stream.errors import BackendError
from support.inbox import Inbox

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from resumable_stream.ports import Backend


async def use(backend: Backend, name: str) -> None:
    """Make each call once, and check that it works."""
    inbox = Inbox()
    subscription = await inbox.subscribe(backend, name)
    await backend.set(name, "grüße", ttl=60)
    assert not await backend.create(name, "taken", ttl=60)
    assert await backend.compare_and_set(name, "grüße", "🙂", ttl=60)
    assert await backend.get(name) == "🙂"
    await backend.delete(name)
    await backend.publish(name, b"\xff\x00")
    await inbox.received(b"\xff\x00")
    await subscription.aclose()


async def all_writes(backend: Backend, name: str) -> Sequence[object]:
    """Make all calls that write, concurrently, and return the result or the error of each."""
    return await asyncio.gather(
        backend.set(name, "v", ttl=5),
        backend.create(name, "v", ttl=5),
        backend.delete(name),
        backend.publish(name, b"m"),
        backend.compare_and_set(name, "v", "w", ttl=5),
        return_exceptions=True,
    )


async def every_call(
    backend: Backend, name: str, *, within: float | None = None
) -> list[BackendError]:
    """Make each call, check that it fails ``within`` the time, and return all errors."""
    calls: list[Callable[[], Awaitable[object]]] = [
        lambda: backend.get(name),
        lambda: backend.set(name, "v", ttl=5),
        lambda: backend.create(name, "v", ttl=5),
        lambda: backend.compare_and_set(name, "v", "w", ttl=5),
        lambda: backend.delete(name),
        lambda: backend.publish(name, b"m"),
        lambda: Inbox().subscribe(backend, name),
    ]
    caught = []
    for call in calls:
        began = time.monotonic()
        with pytest.raises(BackendError) as one:
            await call()
        assert within is None or time.monotonic() - began < within
        caught.append(one.value)
    return caught


async def written(backend: Backend, name: str, *, at_once: bool = False) -> None:
    """Repeat a write until it succeeds, as it may need a new connection, unless ``at_once``."""
    deadline = time.monotonic() + 20
    while True:
        try:
            await backend.set(name, "v", ttl=60)
            return
        except BackendError:
            if at_once or time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.02)
