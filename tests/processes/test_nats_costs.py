"""What streams cost a NATS server, by its own statistics. [P8, P10]"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from processes.texts import Source
from processes.workers import begin, resume, state_reached
from support.brokers import NatsBroker
from support.servers import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from processes.workers import Crew

STREAMS = 20
LISTENERS = 5


@pytest.fixture
def broker() -> Iterator[NatsBroker]:
    with NatsBroker() as broker:
        yield broker


async def test_stream_nobody_resumes_is_cheap(broker: NatsBroker, crew: Crew, stream: str) -> None:
    producing = await crew.worker(broker.url)
    # The first stream also makes the bucket.
    await producing.begin("first", Source(count=1))
    await state_reached(producing, "first", "completed")
    before = await received(broker)
    await producing.begin(stream, Source(kind="tiny", count=50_000))
    (await producing.read(stream)).check_complete()
    await producing.ask("close", drain_timeout=10.0)
    # One message each for the claim, the outcome and DONE.
    assert await received(broker) - before == 3


async def test_long_stream_costs_its_renewals_only(
    broker: NatsBroker, crew: Crew, stream: str
) -> None:
    producing = await crew.worker(broker.url, lease=1.0)
    await producing.begin("first", Source(count=1))
    await state_reached(producing, "first", "completed")
    before = await received(broker)
    await producing.begin(stream, Source(count=1000, pause=0.002))
    began = asyncio.get_running_loop().time()
    (await producing.read(stream)).check_complete()
    lasted = asyncio.get_running_loop().time() - began
    await producing.ask("close", drain_timeout=10.0)
    # Three renewals each second, each of them one message.
    assert await received(broker) - before <= 3 + (lasted * 3 + 1)


async def test_context_has_one_connection(broker: NatsBroker, crew: Crew) -> None:
    producing, reading = [await crew.worker(broker.url, grace=1) for _ in range(2)]
    source = Source(count=20, gated_from=10)
    streams = [f"stream {number}" for number in range(STREAMS)]
    await producing.ask_all([begin(stream, source) for stream in streams])
    listeners = [f"listener {number}" for number in range(LISTENERS)]
    for listener in listeners:
        joined = await reading.ask_all(
            [resume(stream, source, f"{stream} {listener}") for stream in streams]
        )
        assert [answer["joined"] for answer in joined] == ["reading"] * STREAMS
    found = broker.footprint()
    assert found.connections == 2
    # A stream has one channel for requests and one for live text; a listener has one for replies.
    assert found.channels == STREAMS * (2 + LISTENERS)
    await producing.ask_all([{"do": "release", "stream": stream} for stream in streams])
    for listener in listeners:
        reads = [{"do": "read", "reader": f"{stream} {listener}"} for stream in streams]
        answers = await reading.ask_all(reads)
        assert {answer["ending"] for answer in answers} == {"completed"}
    await eventually(lambda: broker.footprint().channels == 0, "the channels to go")


async def received(broker: NatsBroker) -> int:
    """The number of messages that clients have published.

    The server counts a message a moment after it has answered it: look until the number stays.
    """
    seen: int = -1
    while (now := broker.look("varz")["in_msgs"]) != seen:
        seen = now
        await asyncio.sleep(0.2)
    return seen
