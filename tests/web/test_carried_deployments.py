"""Servers that are restarted by turns under one answer, which a browser reads to its end."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import pytest

from processes.texts import Source
from support.fault_proxy import FaultProxy
from web.client import Follower, check_complete, recipe
from web.page import Page, with_source

if TYPE_CHECKING:
    from web.conftest import Serve

OPTIONS = {"durability": "sync", "lease": 1.5, "drain_timeout": 0}
# How many chunks a page gets from one restart to the next.
PROGRESS = 20
SOURCE = Source(count=400, pause=0.02)
LONG_SOURCE = Source(count=2_000, pause=0.02)


@pytest.fixture(params=["redis", "nats"])
def broker_url(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue(f"{request.param}_url"))


@pytest.mark.rule("P1", "P2", "P12", "CNT-1", "CNT-3", "CNT-5")
@pytest.mark.timeout(240)
async def test_ten_restarts_by_turns_under_a_page(serve: Serve, stream: str) -> None:
    servers = await asyncio.gather(*(serve(**OPTIONS) for _ in range(2)))
    async with FaultProxy(servers[0].port) as proxy:
        url = with_source(f"http://127.0.0.1:{proxy.port}/events/{stream}", SOURCE, carry="on")
        async with Page(url) as page:
            for number in range(10):
                await page.wait_for("message", (number + 1) * PROGRESS)
                old, other = servers[number % 2], servers[1 - number % 2]
                proxy.aim_at(other.port)
                # Both servers are stopped in both ways.
                if number // 2 % 2:
                    await old.kill()
                else:
                    old.terminate()
                    await old.wait()
                servers[number % 2] = await serve(**OPTIONS)
            await page.wait_for("exit")
    page.check_texts(SOURCE)
    assert not any(told["closed"] for told in page.of("error"))
    assert len(page.of("done")) == 1


@pytest.mark.long
@pytest.mark.rule("P1", "P2", "P12", "CNT-1", "CNT-3", "CNT-5")
@pytest.mark.timeout(400)
async def test_twenty_kills_under_three_readers(broker_url: str, serve: Serve, stream: str) -> None:
    """Each server has a reader, of which one is beside the producer; the page is at one of them."""
    rng = random.Random(stream)
    options = OPTIONS | {"url": broker_url}
    servers = await asyncio.gather(*(serve(**options) for _ in range(2)))
    proxies = [FaultProxy(server.port) for server in servers]
    async with proxies[0], proxies[1]:
        urls = [f"http://127.0.0.1:{proxy.port}/events/{stream}" for proxy in proxies]
        followers = [Follower(url, source=recipe(LONG_SOURCE), carry="on") for url in urls]
        following = [asyncio.create_task(one.follow(patience=300)) for one in followers]
        async with Page(with_source(urls[0], LONG_SOURCE, carry="on")) as page:
            for number in range(20):
                await asyncio.sleep(rng.uniform(0.1, 1.5))
                proxies[number % 2].aim_at(servers[1 - number % 2].port)
                await servers[number % 2].kill()
                servers[number % 2] = await serve(**options)
                proxies[number % 2].aim_at(servers[number % 2].port)
            await page.wait_for("exit", patience=240)
        await asyncio.gather(*following)
    page.check_texts(LONG_SOURCE)
    assert not any(told["closed"] for told in page.of("error"))
    for follower in followers:
        check_complete(follower.events, LONG_SOURCE)
