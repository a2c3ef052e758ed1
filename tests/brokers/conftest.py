from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from resumable_stream import find_opener
from support.brokers import BROKERS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from resumable_stream.ports import Backend
    from support.brokers import Broker


@pytest.fixture(params=BROKERS)
def url(request: pytest.FixtureRequest) -> str:
    """The URL of a server that all tests share: each test must use its own names."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture
async def backend(url: str) -> AsyncIterator[Backend]:
    """A backend on the shared server."""
    backend = find_opener(url)(url)
    yield backend
    await backend.aclose()


@pytest.fixture
async def own(broker: Broker) -> AsyncIterator[Backend]:
    """A backend on the test's own server, with a short time-out."""
    backend = broker.open(timeout=1.5)
    yield backend
    await backend.aclose()
