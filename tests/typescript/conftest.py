"""Node processes with the npm packages of package.json, beside Python contexts on one server."""

from __future__ import annotations

import contextlib
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from resumable_stream import Options, ResumableStreamContext, create_resumable_stream_context
from support.npm import NODE, installed
from typescript.peer import Peer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

_HERE = Path(__file__).parent

OpenContext = "Callable[..., ResumableStreamContext]"


@pytest.fixture(scope="session")
def peer_program(request: pytest.FixtureRequest) -> Path:
    """The Node program beside its installed packages, which are kept from run to run."""
    return installed(_HERE / "peer.mjs", request)


@pytest_asyncio.fixture
async def typescript(peer_program: Path, redis_url: str) -> AsyncIterator[Peer]:
    async with Peer(str(NODE), peer_program, redis_url) as peer:
        yield peer


@pytest_asyncio.fixture
async def open_context(redis_url: str) -> AsyncIterator[Callable[..., ResumableStreamContext]]:
    """Makes contexts, each of which stands for another instance."""
    async with contextlib.AsyncExitStack() as stack:

        def opened(**options: object) -> ResumableStreamContext:
            context = create_resumable_stream_context(redis_url, options=Options(**options))  # type: ignore[arg-type]
            stack.push_async_callback(context.aclose, 0)
            return context

        yield opened


@pytest.fixture
def streams(open_context: Callable[..., ResumableStreamContext]) -> ResumableStreamContext:
    return open_context(handshake_timeout=10)


@pytest.fixture
def stream_id() -> str:
    return f"mixed-{uuid.uuid4()}"
