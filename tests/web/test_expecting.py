"""Pages that ask for a stream before anybody has started it."""

from __future__ import annotations

import asyncio
import signal
import time
from typing import TYPE_CHECKING

import pytest

from processes.texts import Source
from web.client import answers, ask, check_complete, get, recipe

if TYPE_CHECKING:
    from web.conftest import Serve

SERVERS = ("uvicorn", "hypercorn", "granian")
SOURCE = Source(count=5)
HOUR = 3600


@pytest.mark.rule("SEN-12")
async def test_page_may_come_before_the_producer(serve: Serve, stream: str) -> None:
    producing, reading = await asyncio.gather(serve(), serve())

    async def expect() -> None:
        async with get(f"{reading.url}/expected/{stream}", wait=25) as answer:
            assert answer.status == 200
            check_complete(await answer.events(), SOURCE)

    expecting = asyncio.create_task(expect())
    await asks(reading.url, 1)
    async with get(f"{producing.url}/events/{stream}", source=recipe(SOURCE)) as answer:
        check_complete(await answer.events(), SOURCE)
    await expecting
    async with get(f"{reading.url}/expected/{stream}-never", wait=1) as answer:
        assert answer.status == 404


@pytest.mark.parametrize("kind", SERVERS)
async def test_wait_ends_when_its_client_leaves_or_its_server_is_stopped(
    kind: str, serve: Serve, stream: str
) -> None:
    server = await serve(kind)
    idle = await ask(f"{server.url}/state")
    waiting = asyncio.create_task(ask(f"{server.url}/expected/{stream}", wait=HOUR))
    await asks(server.url, 1)
    waiting.cancel()
    await answers(f"{server.url}/state", idle)

    async def expect(last_event_id: str | None) -> int:
        url = f"{server.url}/expected/{stream}"
        async with get(url, last_event_id, wait=HOUR) as answer:
            assert await answer.events() == []
            return answer.status

    expecting = [asyncio.create_task(expect(place)) for place in (None, "7-1")]
    await asks(server.url, len(expecting))
    began = time.monotonic()
    server.terminate()
    # EventSource gives up at every status but 200.
    assert await asyncio.gather(*expecting) == [503, 200]
    assert await server.wait() in (0, -signal.SIGTERM)
    assert time.monotonic() - began < 15


async def asks(url: str, count: int) -> None:
    """Wait until so many requests wait, beside the one that asks for this."""

    deadline = time.monotonic() + 10
    while (await ask(f"{url}/state"))["requests"] != count + 1:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)
