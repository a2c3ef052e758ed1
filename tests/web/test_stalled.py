"""Clients that do not read what they asked for, while a large stream flows past them."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest

from processes.texts import Source
from web.client import ask, check_complete, get, recipe

if TYPE_CHECKING:
    from web.conftest import Serve

MEGABYTE = 1024 * 1024
FLOW = Source(kind="bulk", count=400, gated_from=1)
TEXT = FLOW.count * 64 * 1024
STALLED = 4
# Memory beside the text itself: for each client a window and the data on its way, and what the
# allocator keeps. Without bounds, each stalled client would cost the text once more.
SLACK = 32 * MEGABYTE


@pytest.mark.parametrize(
    "kind", ["uvicorn", "granian", pytest.param("hypercorn", marks=pytest.mark.long)]
)
async def test_stalled_clients_cost_bounded_memory(kind: str, serve: Serve, stream: str) -> None:
    beside, elsewhere = await asyncio.gather(serve(kind), serve(kind))
    async with AsyncExitStack() as stack:
        url = f"{beside.url}/events/{stream}"
        reading = await stack.enter_async_context(get(url, source=recipe(FLOW)))
        first = await reading.events(1)
        processes = [
            (await ask(f"{server.url}/state"))["process"] for server in (beside, elsewhere)
        ]
        stalled = [
            await stack.enter_async_context(get(f"{server.url}/events/{stream}"))
            for server in (beside, elsewhere)
            for _ in range(STALLED)
        ]
        before = [beside.memory("VmRSS", process) for process in processes]
        await ask(f"{beside.url}/release/{stream}", "POST")
        check_complete(first + await reading.events(), FLOW)
        grown = [
            beside.memory("VmHWM", process) - memory
            for process, memory in zip(processes, before, strict=True)
        ]
        assert grown[0] < TEXT + SLACK
        assert grown[1] < SLACK
        # A stalled client that reads on has missed nothing.
        check_complete(await stalled[-1].events(), FLOW)
