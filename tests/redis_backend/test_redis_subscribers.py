"""Subscribers as a Redis server counts them, and what the count does for TypeScript listeners."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import TYPE_CHECKING, Any

import pytest
import redis.asyncio.sentinel
from redis.asyncio.cluster import ClusterNode, RedisCluster

from resumable_stream import Options, create_resumable_stream_context
from resumable_stream.errors import AccessDeniedError
from resumable_stream_redis import RedisBackend
from support.inbox import Inbox
from support.servers import ClusterSet, SentinelSet, ValkeyServer, eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from resumable_stream import ResumableStream, ResumableStreamContext

LEAST = "+get +set +del +eval +evalsha +publish +subscribe +unsubscribe +ping"
PREFIX = "resumable-stream:rs"


def allow(server: ValkeyServer, *more: str) -> str:
    """Make a user with the least rights and those in ``more``; return its URL."""
    with server.client() as client:
        client.execute_command(
            *("ACL", "SETUSER", "least", "on", ">pw", "resetchannels", f"~{PREFIX}:*"),
            *(f"&{PREFIX}:*", *LEAST.split(), *more),
        )
    return server.url.replace("//", "//least:pw@")


@pytest.mark.rule("PS-9")
async def test_counting_takes_one_right_more(valkey: ValkeyServer, inbox: Inbox) -> None:
    channel = f"{PREFIX}:chunk:x"
    backend = RedisBackend(allow(valkey))
    await inbox.subscribe(backend, channel)
    with pytest.raises(AccessDeniedError, match=r"pubsub\|numsub"):
        await backend.count_subscribers([channel])
    await backend.publish(channel, b"still connected")
    await inbox.received(b"still connected")
    allow(valkey, "+pubsub|numsub")
    assert await backend.count_subscribers([channel, "elsewhere"]) == [1, 0]
    await backend.aclose()


@pytest.mark.rule("PS-9")
async def test_a_dead_connection_is_not_counted(valkey: ValkeyServer, inbox: Inbox) -> None:
    gone, here = RedisBackend(valkey.url), RedisBackend(valkey.url)
    await inbox.subscribe(gone, "channel")
    assert await here.count_subscribers(["channel"]) == [1]
    with valkey.client() as client:
        client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        assert await here.count_subscribers(["channel"]) == [0]
    await inbox.lost()
    assert await here.count_subscribers(["channel"]) == [1]
    await gone.aclose()
    await here.aclose()


@pytest.mark.rule("PS-9")
async def test_a_cluster_cannot_tell(name: str) -> None:
    with ClusterSet(replicas=False) as cluster:
        client: Any = RedisCluster(
            startup_nodes=[ClusterNode("127.0.0.1", node.port) for node in cluster.nodes]
        )
        backend, inbox = RedisBackend(client=client), Inbox()
        assert await backend.count_subscribers([name]) is None
        # The reason: every node reaches the subscriber, but only the subscriber's node counts it.
        await inbox.subscribe(backend, name)
        counted, sent = [], list[bytes]()
        for node in cluster.nodes:
            sent.append(b"%d" % node.port)
            with node.client() as direct:
                counted.append(direct.execute_command("PUBSUB", "NUMSUB", name)[1])
                direct.publish(name, sent[-1])
            await inbox.received(*sent)  # one by one: what two nodes pass on may change places
        assert sorted(counted) == [0, 0, 1]
        await backend.aclose()
        await client.aclose()


@pytest.mark.rule("PS-9")
async def test_a_sentinels_primary_tells(name: str, inbox: Inbox) -> None:
    with SentinelSet() as sentinels:
        make: Any = redis.asyncio.sentinel.Sentinel
        manager = make(sentinels.addresses)
        client = manager.master_for(sentinels.service)
        backend, other = RedisBackend(client=client), RedisBackend(client=client)
        await inbox.subscribe(backend, name)
        assert await other.count_subscribers([name, f"{name} not"]) == [1, 0]
        await backend.aclose()
        await other.aclose()
        await client.aclose()
        await asyncio.gather(*(one.aclose() for one in manager.sentinels))


class Source:
    """A source that yields one number each time the test asks for one."""

    def __init__(self) -> None:
        self.asked = asyncio.Semaphore(0)
        self.yielded = 0
        self.over = False

    def go_on(self, count: int = 1) -> None:
        for _ in range(count):
            self.asked.release()

    async def __call__(self) -> AsyncIterator[str]:
        while True:
            await self.asked.acquire()
            if self.over:
                return
            self.yielded += 1
            yield f"{self.yielded} "


class Listener:
    """Reads a stream as the npm package does."""

    def __init__(self, server: ValkeyServer, stream_id: str, name: str) -> None:
        self.text = ""
        self._client = redis.asyncio.Redis(host="127.0.0.1", port=server.port)
        self._stream_id = stream_id
        self._name = name
        self._pubsub: Any = self._client.pubsub()
        self._reading: asyncio.Task[None] | None = None

    async def begin(self) -> None:
        await self.subscribe()
        request = json.dumps({"listenerId": self._name})
        await self._client.publish(f"{PREFIX}:request:{self._stream_id}", request)

    async def subscribe(self) -> None:
        await self._pubsub.subscribe(f"{PREFIX}:chunk:{self._name}")
        self._reading = asyncio.create_task(self._read())

    async def disconnect(self) -> None:
        assert self._reading is not None
        self._reading.cancel()
        await asyncio.wait({self._reading})
        await self._pubsub.aclose()

    async def leave(self) -> None:
        await self.disconnect()
        await self._client.aclose()

    async def _read(self) -> None:
        async for message in self._pubsub.listen():
            if message["type"] == "message":
                self.text += message["data"].decode()


def publishes(server: ValkeyServer) -> int:
    with server.client() as client:
        calls: int = client.info("commandstats").get("cmdstat_publish", {"calls": 0})["calls"]
    return calls


async def start(context: ResumableStreamContext, stream_id: str) -> tuple[Source, ResumableStream]:
    source = Source()
    return source, await context.create_new_resumable_stream(stream_id, source)


@pytest.mark.rule("V1-7", "P7")
async def test_vanished_listeners_are_not_published_to(valkey: ValkeyServer, name: str) -> None:
    async with create_resumable_stream_context(valkey.url, options=Options(lease=1)) as context:
        source, stream = await start(context, name)
        listeners = [Listener(valkey, name, f"listener-{number}") for number in range(20)]
        for listener in listeners:
            await listener.begin()
        source.go_on(3)
        await eventually(lambda: all(one.text == "1 2 3 " for one in listeners), "the text")
        for listener in listeners[1:]:
            await listener.leave()
        stays = listeners[0]
        before, given = publishes(valkey), source.yielded

        async def one_each() -> bool:
            """Yield a chunk; return whether it cost one message, since one listener is left."""
            nonlocal before, given
            source.go_on()
            await eventually(lambda: stays.text.endswith(f"{given + 1} "), "the next chunk")
            cost, before, given = publishes(valkey) - before, publishes(valkey), given + 1
            return cost == 1

        async with asyncio.timeout(20):
            while not (await one_each() and await one_each()):  # noqa: ASYNC110 - no event
                await asyncio.sleep(0.1)  # until the producer looks again
        source.over = True
        source.go_on()
        text = "".join([chunk async for chunk in stream])
        await eventually(lambda: stays.text.startswith(text) and "DONE" in stays.text, "the end")
        await stays.leave()


@pytest.mark.rule("V1-7")
async def test_a_listener_that_reconnects_goes_on_where_it_stood(
    valkey: ValkeyServer, name: str
) -> None:
    async with create_resumable_stream_context(valkey.url) as context:
        source, _ = await start(context, name)
        listener = Listener(valkey, name, "listener")
        await listener.begin()
        source.go_on()
        await eventually(lambda: listener.text == "1 ", "the text")
        await listener.disconnect()
        await eventually(lambda: absent(context) == 1, "the loss to be seen")
        before = publishes(valkey)
        source.go_on(2)
        await eventually(lambda: source.yielded == 3, "more text")
        await listener.subscribe()
        await eventually(lambda: listener.text == "1 2 3 ", "the text that came meanwhile")
        assert publishes(valkey) - before == 2
        await listener.leave()
        await context.aclose(0)


@pytest.mark.rule("V1-8", "V1-7", "P7")
async def test_made_up_listeners_cost_other_streams_nothing(
    valkey: ValkeyServer, name: str
) -> None:
    made_up, batch = 65_536, 4096
    # The requests alone take a second, or several on a busy machine.
    patient = Options(handshake_timeout=30)
    async with (
        create_resumable_stream_context(valkey.url) as context,
        create_resumable_stream_context(valkey.url, options=patient) as elsewhere,
    ):
        victim, _ = await start(context, f"{name} victim")
        source, _ = await start(context, name)
        victim.go_on(10)
        async with redis.asyncio.Redis(host="127.0.0.1", port=valkey.port) as client:
            for first in range(0, made_up, batch):
                pipe: Any = client.pipeline(transaction=False)
                for number in range(first, first + batch):
                    request = json.dumps({"listenerId": f"made-up-{number}"})
                    pipe.publish(f"{PREFIX}:request:{name} victim", request)
                await pipe.execute()
        reader = await elsewhere.resume_existing_stream(name)
        assert reader
        await eventually(
            lambda: bool(context._binding.instance and not pending(context)), "them to be judged"
        )
        before = publishes(valkey)
        victim.go_on(100)
        source.go_on(100)
        assert [await anext(reader) for _ in range(100)] == [f"{n + 1} " for n in range(100)]
        await eventually(lambda: victim.yielded == 110, "the victim's text")
        # The remote reader takes at most one frame for each chunk, and a few heartbeats.
        assert publishes(valkey) - before <= 120
        await reader.aclose()
        await context.aclose(0)


def absent(context: ResumableStreamContext) -> int:
    """The number of listeners that are absent now."""
    running: Any = context._binding.instance
    presences = [producer._service.opened().outgoing._v1._presence for producer in running.running]
    return sum(len(presence._absent) for presence in presences)


def pending(context: ResumableStreamContext) -> bool:
    """Whether a producer still serves a listener or waits for one to subscribe."""
    running: Any = context._binding.instance
    return any(producer._service.opened().outgoing._v1 for producer in running.running)


@pytest.mark.rule("V1-7", "P11")
async def test_without_the_right_listeners_are_served_as_before(
    valkey: ValkeyServer, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "resumable_stream"):
        async with create_resumable_stream_context(allow(valkey)) as context:
            for stream_id in (name, f"{name} too"):
                source, _ = await start(context, stream_id)
                source.go_on(2)
                listener = Listener(valkey, stream_id, f"listener-{len(stream_id)}")
                await listener.begin()
                await eventually(lambda one=listener: one.text == "1 2 ", "the text")  # type: ignore[misc]
                source.over = True
                source.go_on()
                await eventually(lambda one=listener: "DONE" in one.text, "the end")  # type: ignore[misc]
                await listener.leave()
    told = [one for one in caplog.records if "pubsub|numsub" in one.getMessage()]
    assert len(told) == 1
    assert told[0].levelno == logging.WARNING
