from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from resumable_stream_nats import NatsBackend, NatsJournal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from support.nats_servers import NatsServer


@pytest.fixture
async def backend(nats_url: str) -> AsyncIterator[NatsBackend]:
    """A backend on the shared server."""
    backend = NatsBackend(nats_url)
    yield backend
    await backend.aclose()


@pytest.fixture
async def own(nats_server: NatsServer) -> AsyncIterator[NatsBackend]:
    """A backend on the test's own server, with a short time-out."""
    backend = NatsBackend(nats_server.url, timeout=1.5)
    yield backend
    await backend.aclose()


@pytest.fixture
async def journal(nats_server: NatsServer) -> AsyncIterator[NatsJournal]:
    """A journal on the test's own server, with a short time-out."""
    journal = NatsJournal(nats_server.url, timeout=1.5)
    yield journal
    await journal.aclose()


@pytest.fixture
async def other_journal(nats_server: NatsServer) -> AsyncIterator[NatsJournal]:
    """Another journal on the test's own server."""
    journal = NatsJournal(nats_server.url)
    yield journal
    await journal.aclose()
