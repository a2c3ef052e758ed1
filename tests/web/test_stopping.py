"""Servers that are told to stop while answers are open, with all of the servers' own defaults.

None of them tells the application before the last answer has ended. The answers notice the stop and
end: their clients go on elsewhere, and the producers have the time that the context gives them.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from typing import TYPE_CHECKING

import pytest

from processes.texts import Source
from support.servers import eventually
from web.client import LAST, Follower, ask, check_complete, get, recipe, texts_of

if TYPE_CHECKING:
    from pathlib import Path

    from web.client import Answer
    from web.conftest import Serve
    from web.server import WebServer

SERVERS = ("uvicorn", "hypercorn", "granian")
# Much longer than it takes to cut an answer, and shorter than the drain.
ENDS_IN_THE_DRAIN = Source(count=40, pause=0.1)
DRAIN = 10
ENDLESS = Source(count=10_000, pause=0.05)
LEASE = 15.0


def is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


async def cut(answer: Answer) -> list[str]:
    """Read the rest of the answer, check that it has no ending, and return its texts."""
    rest = await answer.events()
    assert not [event for event in rest if event.event in LAST]
    return texts_of(rest)


async def stopped(server: WebServer) -> None:
    """Check that the server ends by itself, with the status of one that was asked to."""
    assert await server.wait() in (0, -signal.SIGTERM)


@pytest.mark.parametrize("kind", SERVERS)
async def test_stopped_server_sends_its_clients_elsewhere(
    kind: str, serve: Serve, stream: str
) -> None:
    source = ENDS_IN_THE_DRAIN
    stopping, other = await asyncio.gather(
        *(serve(kind, drain_timeout=DRAIN, lease=LEASE) for _ in range(2))
    )
    async with get(f"{stopping.url}/events/{stream}", source=recipe(source)) as answer:
        events = await answer.events(5)
        stopping.terminate()
        events += await answer.events()
    assert not [event for event in events if event.event in LAST]
    assert 5 <= len(events) < source.count
    async with get(f"{other.url}/events/{stream}", events[-1].id) as answer:
        # The text comes from the stopping server, which lets the source end.
        events += await answer.events()
    check_complete(events, source)
    await stopped(stopping)


@pytest.mark.parametrize("kind", SERVERS)
async def test_stopped_server_tells_what_it_cannot_finish(
    kind: str, serve: Serve, stream: str
) -> None:
    stopping, other = await asyncio.gather(*(serve(kind, lease=LEASE) for _ in range(2)))
    path = f"events/{stream}"
    async with get(f"{stopping.url}/{path}", source=recipe(ENDLESS)) as answer:
        await answer.events(5)
        async with get(f"{other.url}/{path}") as elsewhere:
            await elsewhere.events(5)
            began = time.monotonic()
            stopping.terminate()
            await cut(answer)
            last = (await elsewhere.events())[-1]
            # The reader got the ending before a dead producer would have been detected.
            assert time.monotonic() - began < LEASE
    assert (last.event, last.json["code"]) == ("stream-error", "producer_lost")
    await stopped(stopping)


@pytest.mark.parametrize("kind", SERVERS)
async def test_stopped_server_leaves_the_streams_of_others(
    kind: str, serve: Serve, stream: str
) -> None:
    source = Source(count=20, gated_from=10)
    producing, stopping = await asyncio.gather(*(serve(kind) for _ in range(2)))
    path = f"events/{stream}"
    async with get(f"{producing.url}/{path}", source=recipe(source)) as beside:
        events = await beside.events(10)
        async with get(f"{stopping.url}/{path}") as answer:
            texts = texts_of(await answer.events(10))
            stopping.terminate()
            assert await cut(answer) == []
        await stopped(stopping)
        await ask(f"{producing.url}/release/{stream}", "POST")
        check_complete(events + await beside.events(), source)
    assert texts == texts_of(events)


async def test_stopped_master_sends_the_clients_of_all_workers_elsewhere(
    serve: Serve, stream: str
) -> None:
    source = ENDS_IN_THE_DRAIN
    options = {"drain_timeout": DRAIN, "lease": LEASE}
    stopping, other = await asyncio.gather(
        serve("uvicorn", "--workers", "2", **options), serve("uvicorn", **options)
    )
    urls = [f"{server.url}/events/{stream}" for server in (stopping, other)]
    followers = await crowd(*urls, source=source)
    stopping.terminate()
    await all_complete(followers, source)
    await stopped(stopping)
    for follower in followers:
        assert len(follower.processes) == 2


async def test_master_restarts_its_workers_one_by_one_on_sighup(serve: Serve, stream: str) -> None:
    """A worker answers at the port at any time: clients need no other server to reconnect to."""
    source = Source(count=120, pause=0.05)
    # Under load a new worker takes its time, and uvicorn would give up after 5 seconds.
    more = ("--workers", "2", "--timeout-worker-healthcheck", "60")
    server = await serve("uvicorn", *more, drain_timeout=20, lease=LEASE)
    followers = await crowd(f"{server.url}/events/{stream}", source=source)
    before = {process for one in followers for process in one.processes}
    os.kill(server.pid, signal.SIGHUP)
    await all_complete(followers, source)
    # Which workers the followers have reached depends on which one produces, since that drains.
    await eventually(lambda: not any(map(is_running, before)), "the old workers to go", limit=45)
    assert (await ask(f"{server.url}/state"))["process"] not in before


async def test_reload_does_not_wait_for_an_open_answer(
    serve: Serve, stream: str, tmp_path: Path
) -> None:
    changing = tmp_path / "changing.py"
    changing.touch()
    server = await serve("uvicorn", "--reload", "--reload-dir", str(tmp_path))
    before = (await ask(f"{server.url}/state"))["process"]
    async with get(f"{server.url}/events/{stream}", source=recipe(ENDLESS)) as answer:
        await answer.events(5)
        os.utime(changing, (time.time() + 10, time.time() + 10))
        await cut(answer)
    # A request during the restart is answered once the server is there again.
    assert (await ask(f"{server.url}/state"))["process"] != before


async def crowd(*urls: str, source: Source) -> list[Follower]:
    """Start followers of one stream; the first one starts the stream."""
    followers = [Follower(*urls, source=recipe(source)), *(Follower(*urls) for _ in range(5))]
    for follower in followers:
        following.append(asyncio.create_task(follower.follow()))
        await begins(follower)
    return followers


async def begins(follower: Follower) -> None:
    await eventually(lambda: bool(follower.events), "the first event")


async def all_complete(followers: list[Follower], source: Source) -> None:
    await asyncio.gather(*following)
    for follower in followers:
        check_complete(follower.events, source)


following: list[asyncio.Task[None]] = []


@pytest.fixture(autouse=True)
def no_follower_is_left() -> None:
    following.clear()
