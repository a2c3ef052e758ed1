"""Users of a NATS server that may do this and not that, and everything that one may try."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest

from resumable_stream.errors import BackendUnavailableError
from resumable_stream_nats import NatsBackend
from support.inbox import Inbox

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from support.nats_servers import NatsServer


def users(**rights: tuple[list[str], list[str]]) -> str:
    """Configure one account, ALL: a user that may do anything, and some that may only do this."""
    entries = ["{user: root, password: pw}"]
    for user, (publish, subscribe) in rights.items():
        permissions = f"permissions: {{publish: {quoted(publish)}, subscribe: {quoted(subscribe)}}}"
        entries.append(f"{{user: {user}, password: pw, {permissions}}}")
    account = f"ALL: {{jetstream: enabled, users: [{', '.join(entries)}]}}"
    return f"accounts: {{{account}, SYS: {{}}}}, system_account: SYS"


def quoted(subjects: list[str]) -> str:
    return json.dumps(subjects or ["nothing"])


def url_of(server: NatsServer, user: str) -> str:
    return server.url.replace("//", f"//{user}:pw@")


def backend_of(server: NatsServer, user: str) -> NatsBackend:
    return NatsBackend(url_of(server, user))


async def use(backend: NatsBackend, name: str) -> None:
    inbox = Inbox()
    subscription = await inbox.subscribe(backend, name)
    await backend.set(name, "1", ttl=60)
    assert not await backend.create(name, "2", ttl=60)
    assert await backend.compare_and_set(name, "1", "2", ttl=60)
    assert await backend.get(name) == "2"
    await backend.delete(name)
    await backend.publish(name, b"m")
    await inbox.received(b"m")
    await subscription.aclose()


async def every_call(backend: NatsBackend, name: str) -> list[BackendUnavailableError]:
    """Make each call, and let each fail within a second."""
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
        with pytest.raises(BackendUnavailableError) as one:
            await call()
        assert time.monotonic() - began < 2
        assert one.value.__cause__ is not None
        caught.append(one.value)
    return caught
