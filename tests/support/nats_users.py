"""Users of a NATS server that have limited rights."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from resumable_stream.errors import BackendUnavailableError
from resumable_stream_nats import NatsBackend
from support.calls import every_call

if TYPE_CHECKING:
    from resumable_stream.errors import BackendError
    from support.nats_servers import NatsServer


def users(**rights: tuple[list[str], list[str]]) -> str:
    """Configure one account, ALL: ``root`` may do anything, the others what ``rights`` allow."""
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


async def each_is_refused(backend: NatsBackend, name: str) -> list[BackendError]:
    """Make each call, check that it is refused in time with a cause, and return the refusals."""
    errors = await every_call(backend, name, within=2)
    assert all(isinstance(error, BackendUnavailableError) for error in errors)
    assert all(error.__cause__ is not None for error in errors)
    return errors
