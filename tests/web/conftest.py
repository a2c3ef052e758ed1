from __future__ import annotations

import json
import logging
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
import pytest_asyncio

from web.server import WebServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    Serve = Callable[..., Awaitable[WebServer]]


# httpx logs a line for each request, which is of no use.
logging.getLogger("httpx").setLevel(logging.WARNING)


@pytest_asyncio.fixture
async def serve(redis_url: str) -> AsyncIterator[Serve]:
    """Starts servers of the application under test, and ends them when the test ends."""
    async with AsyncExitStack() as stack:

        async def start(
            kind: str = "uvicorn", *more: str, url: str = redis_url, **options: Any
        ) -> WebServer:
            chosen = {"drain_timeout": 1} | options
            settings = json.dumps({"url": url, "options": chosen})
            server = WebServer(
                kind, "web.app:app", *more, environment={"WEB_TEST_SETTINGS": settings}
            )
            return await stack.enter_async_context(server)

        yield start


@pytest.fixture
def stream() -> str:
    return f"stream-{uuid4()}"
