"""A deployment that replaces one server after the other, while answers run and after they ended."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from processes.texts import Source
from support.servers import eventually
from web.client import Follower, check_complete, get, recipe, texts_of

if TYPE_CHECKING:
    from support.event_source import Event
    from web.conftest import Serve

BEGUN = 5
OPTIONS = {"durability": "async", "drain_timeout": 4, "lease": 3.0}
ANSWERS = {
    "over": Source(seed=1, count=40),
    # It ends while its server drains.
    "ending": Source(seed=2, count=25, pause=0.05),
    # It does not end by itself, and is cut.
    "cut": Source(seed=3, count=40, gated_from=BEGUN),
}


@pytest.mark.rule("P1", "P3", "P12")
@pytest.mark.timeout(120)
async def test_rolling_restart_loses_no_finished_answer(serve: Serve, stream: str) -> None:
    old = await asyncio.gather(*(serve("uvicorn", **OPTIONS) for _ in range(2)))
    new = []
    for number, stopping in enumerate(old):
        new.append(await serve("uvicorn", **OPTIONS))
        followers = {
            kind: Follower(
                *(f"{server.url}/events/{stream}-{number}-{kind}" for server in (stopping, *new)),
                source=recipe(source),
            )
            for kind, source in ANSWERS.items()
        }
        following = [asyncio.create_task(one.follow()) for one in followers.values()]
        await eventually(
            lambda: all(len(one.events) >= BEGUN for one in followers.values()),  # noqa: B023 - called here
            "all answers to begin",
        )
        await following[0]
        stopping.terminate()
        await asyncio.gather(*following)
        for kind, follower in followers.items():
            check_ending(kind, follower.events)
        await stopping.wait()
    # Who was there is gone; a page that is reloaded now reads from the beginning.
    for server in new:
        for number in range(len(old)):
            for kind, source in ANSWERS.items():
                url = f"{server.url}/events/{stream}-{number}-{kind}"
                async with get(url, source=recipe(source)) as answer:
                    check_ending(kind, await answer.events())


def check_ending(kind: str, events: list[Event]) -> None:
    source = ANSWERS[kind]
    if kind != "cut":
        check_complete(events, source)
    else:
        assert texts_of(events) == list(source.chunks())[:BEGUN]
        assert (events[-1].event, events[-1].json["code"]) == ("stream-error", "producer_lost")
