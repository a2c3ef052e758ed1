"""Several worker processes behind one port, and what happens to streams when one of them ends."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from typing import TYPE_CHECKING

import pytest

from processes.texts import Source
from support.servers import eventually
from web.client import Follower, ask, check_complete, recipe, texts_of

if TYPE_CHECKING:
    from web.conftest import Serve
    from web.server import WebServer

LEASE = 3.0


async def test_any_worker_resumes_what_any_other_produces(serve: Serve, stream: str) -> None:
    source = Source(count=40, gated_from=30)
    server = await serve("uvicorn", "--workers", "3")
    names = [f"{stream}-{number}" for number in range(4)]
    followers = [
        Follower(f"{server.url}/events/{name}", cuts=range(3, 30, 3), source=recipe(source))
        for name in names
        for _ in range(2)
    ]
    async with asyncio.TaskGroup() as tasks:
        tasks_of_followers = {tasks.create_task(follower.follow()) for follower in followers}
        await eventually(lambda: all(len(one.events) == 30 for one in followers), "the first part")
        while len(processes := processes_of(followers)) < 2:
            assert len(followers) < 50, "one worker takes all connections"
            followers.append(await joined_elsewhere(server, f"/events/{names[0]}", *processes))
        while not all(task.done() for task in tasks_of_followers):
            # Each request reaches some worker; after some requests it is the one with the source.
            for name in names:
                await ask(f"{server.url}/release/{name}", "POST")
    await asyncio.gather(*following)
    for follower in followers:
        check_complete(follower.events, source)


async def crowd(server: WebServer, stream: str, source: Source) -> tuple[int, list[Follower]]:
    """Start followers of one stream at both workers.

    Return the process that produces the stream, and the followers.
    """
    url = f"{server.url}/events/{stream}"
    first = Follower(url, source=recipe(source))
    await begun(first)
    (producing,) = first.processes
    followers = [first]
    while len(processes_of(followers)) < 2:
        assert len(followers) < 50, "one worker takes all connections"
        followers.append(await joined_elsewhere(server, f"/events/{stream}", producing))
    return producing, followers


async def joined_elsewhere(server: WebServer, path: str, *processes: int) -> Follower:
    """Start a follower while these workers take no connection."""
    follower = Follower(server.url + path)
    # The kernel chooses the worker, so the workers that shall not get the connection are stopped.
    for process in processes:
        os.kill(process, signal.SIGSTOP)
    try:
        following.add(asyncio.create_task(follower.follow()))
        await ask(f"{server.url}/state")
    finally:
        for process in processes:
            os.kill(process, signal.SIGCONT)
    await begins(follower)
    return follower


def processes_of(followers: list[Follower]) -> set[int]:
    return {process for follower in followers for process in follower.processes}


following: set[asyncio.Task[None]] = set()


async def begun(follower: Follower) -> None:
    following.add(asyncio.create_task(follower.follow()))
    await begins(follower)


async def begins(follower: Follower) -> None:
    await eventually(lambda: bool(follower.events), "the first event")


@pytest.fixture(autouse=True)
def no_follower_is_left() -> None:
    following.clear()


async def test_restarted_worker_lets_its_producers_finish(serve: Serve, stream: str) -> None:
    source = Source(count=40, pause=0.1)
    server = await serve("uvicorn", "--workers", "2", drain_timeout=15, lease=LEASE)
    producing, followers = await crowd(server, stream, source)
    os.kill(producing, signal.SIGTERM)
    await asyncio.gather(*following)
    for follower in followers:
        check_complete(follower.events, source)
        # The followers of the stopped worker were cut off, and have reconnected to another.
        assert follower.processes != {producing}


async def test_restarted_worker_tells_what_it_cannot_finish(serve: Serve, stream: str) -> None:
    source = Source(count=40, gated_from=5)
    server = await serve("uvicorn", "--workers", "2", drain_timeout=0.5, lease=LEASE)
    producing, followers = await crowd(server, stream, source)
    began = time.monotonic()
    os.kill(producing, signal.SIGTERM)
    await asyncio.gather(*following)
    # This is the drain, and less time than it takes to detect a dead producer.
    assert time.monotonic() - began < 0.5 + LEASE
    for follower in followers:
        assert texts_of(follower.events) == list(source.chunks())[:5]
        assert follower.events[-1].event == "stream-error"
        assert follower.events[-1].json["code"] == "producer_lost"


async def test_killed_worker_is_missed_within_a_lease(serve: Serve, stream: str) -> None:
    source = Source(count=40, gated_from=5)
    server = await serve("uvicorn", "--workers", "2", lease=LEASE)
    producing, followers = await crowd(server, stream, source)
    began = time.monotonic()
    os.kill(producing, signal.SIGKILL)
    await asyncio.gather(*following)
    assert time.monotonic() - began < 2 * LEASE
    for follower in followers:
        assert texts_of(follower.events) == list(source.chunks())[:5]
        assert follower.events[-1].event == "stream-error" or follower.status == 404
        assert "done" not in [event.event for event in follower.events]
