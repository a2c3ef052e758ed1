"""What streams cost a Redis server, by its own statistics."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from processes.texts import Source
from processes.workers import begin, resume, state_reached
from support.servers import eventually

if TYPE_CHECKING:
    from processes.workers import Crew
    from support.brokers import RedisBroker

STREAMS = 20
LISTENERS = 5

# Commands of the server's own start, of opening and watching connections, and of the tests.
_UPKEEP = {"auth", "client|setinfo", "config|get", "hello", "info", "ping", "select"}


async def test_stream_nobody_resumes_is_cheap(
    redis_broker: RedisBroker, crew: Crew, stream: str
) -> None:
    producing = await crew.worker(redis_broker.url)
    await producing.begin(stream, Source(kind="tiny", count=50_000))
    (await producing.read(stream)).check_complete()
    await producing.ask("close", drain_timeout=10.0)
    used = {name: calls for name, calls in redis_broker.commands().items() if name not in _UPKEEP}
    # The claim and the outcome are each a SET; DONE is a script with a GET and a SET within.
    scripts = used.pop("evalsha", 0) + used.pop("eval", 0)
    loads = used.pop("script|load", 0)
    assert used.pop("unsubscribe", 0) <= 1
    assert used == {"set": 3, "get": 1, "subscribe": 1}
    assert 1 <= scripts <= 2
    assert loads <= 1


async def test_long_stream_costs_its_renewals_only(
    redis_broker: RedisBroker, crew: Crew, stream: str
) -> None:
    producing = await crew.worker(redis_broker.url, lease=1.0)
    await producing.begin(stream, Source(count=1000, pause=0.002))
    began = asyncio.get_running_loop().time()
    (await producing.read(stream)).check_complete()
    lasted = asyncio.get_running_loop().time() - began
    await state_reached(producing, stream, "completed")
    used = redis_broker.commands()
    assert "publish" not in used
    assert used["subscribe"] == 1
    # The claim, the outcome, DONE, and three renewals each second.
    assert used["set"] <= 3 + lasted * 3 + 1


async def test_context_has_one_subscribed_connection(redis_broker: RedisBroker, crew: Crew) -> None:
    producing, reading = [await crew.worker(redis_broker.url, grace=1) for _ in range(2)]
    source = Source(count=20, gated_from=10)
    streams = [f"stream {number}" for number in range(STREAMS)]
    await producing.ask_all([begin(stream, source) for stream in streams])
    listeners = [f"listener {number}" for number in range(LISTENERS)]
    for listener in listeners:
        joined = await reading.ask_all(
            [resume(stream, source, f"{stream} {listener}") for stream in streams]
        )
        assert [answer["joined"] for answer in joined] == ["reading"] * STREAMS
    found = redis_broker.footprint()
    assert found.subscribers == 2
    assert found.connections <= 4
    # A stream has one channel for requests and one for live text; a listener has one for replies.
    assert found.channels == STREAMS * (2 + LISTENERS)
    await producing.ask_all([{"do": "release", "stream": stream} for stream in streams])
    for listener in listeners:
        reads = [{"do": "read", "reader": f"{stream} {listener}"} for stream in streams]
        answers = await reading.ask_all(reads)
        assert {answer["ending"] for answer in answers} == {"completed"}
    await eventually(lambda: redis_broker.footprint().channels == 0, "the channels to go")
