"""When a client leaves, its reader ends, and nothing else does; with our responses at once.

Heartbeats, and all else that would notice the leaving by writing, are an hour away.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import httpx
import pytest

from processes.texts import Source
from web.client import answers, ask, check_complete, get, recipe

if TYPE_CHECKING:
    from web.conftest import Serve

SOURCE = Source(count=5, gated_from=3)
SERVERS = ("uvicorn", "hypercorn", "granian")


@pytest.mark.parametrize("kind", SERVERS)
async def test_leaving_client_takes_its_reader_along(kind: str, serve: Serve, stream: str) -> None:
    beside, elsewhere = await asyncio.gather(serve(kind), serve(kind))
    async with get(f"{beside.url}/events/{stream}", source=recipe(SOURCE)) as staying:
        first = await staying.events(3)
        for server in (beside, elsewhere):
            idle = await ask(f"{server.url}/state")
            async with get(f"{server.url}/events/{stream}") as answer:
                await answer.first_block()
                held = await ask(f"{server.url}/state")
                assert held["readers"] == idle["readers"] + 1
            await answers(f"{server.url}/state", idle)
        assert await ask(f"{elsewhere.url}/status/{stream}") == "active"
        await ask(f"{beside.url}/release/{stream}", "POST")
        check_complete(first + await staying.events(), SOURCE)


@pytest.mark.parametrize("kind", SERVERS)
async def test_reader_goes_with_a_collected_response(kind: str, serve: Serve, stream: str) -> None:
    """As in the package's announcement, the stream is the body, and nothing closes it."""
    beside, elsewhere = await asyncio.gather(serve(kind), serve(kind))
    async with get(f"{beside.url}/events/{stream}", source=recipe(SOURCE)) as staying:
        first = await staying.events(3)
        for server in (beside, elsewhere):
            idle = await ask(f"{server.url}/state")
            for path in ("plain", "chat"):
                async with get(f"{server.url}/{path}/{stream}") as answer:
                    await answer.first_block()
                    # The reader of a connected client stays, whatever is collected.
                    held = await ask(f"{server.url}/state", collect=True)
                    assert held["readers"] == idle["readers"] + 1
                await answers(f"{server.url}/state", idle, collect=True)
            with pytest.raises(httpx.HTTPStatusError, match="504"):
                await ask(f"{server.url}/limited/{stream}")
            await answers(f"{server.url}/state", idle, collect=True)
        await ask(f"{beside.url}/release/{stream}", "POST")
        check_complete(first + await staying.events(), SOURCE)
