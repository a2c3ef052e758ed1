"""Keys of a bucket that are renewed together, by the revisions that a backend remembers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from resumable_stream.errors import BackendUnavailableError
from resumable_stream_nats import NatsBackend
from resumable_stream_nats._answers import Answers, fail
from support.fault_proxy import FaultProxy
from support.nats_servers import STREAM, NatsServer
from support.virtual_time import in_virtual_time

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from typing import Any

pytestmark = pytest.mark.rule("KV-7")


@pytest.fixture
async def other(nats_server: NatsServer) -> AsyncIterator[NatsBackend]:
    """Another backend on the test's own server."""
    backend = NatsBackend(nats_server.url)
    yield backend
    await backend.aclose()


async def held(backend: NatsBackend, number: int) -> list[tuple[str, str]]:
    entries = [(f"k{n}", f"value {n}") for n in range(number)]
    for key, value in entries:
        assert await backend.create(key, value, ttl=60)
    return entries


async def messages(server: NatsServer) -> int:
    """The number of messages that clients have published, once it stays."""
    seen = -1
    while (now := int(server.look("varz")["in_msgs"])) != seen:
        seen = now
        await asyncio.sleep(0.2)
    return seen


def last(server: NatsServer) -> int:
    """The number of the last message in the bucket."""
    info: Any = server.ask(lambda client: client.jetstream().stream_info(STREAM))
    return int(info.state.last_seq)


async def test_each_renewal_is_one_request(own: NatsBackend, nats_server: NatsServer) -> None:
    entries = await held(own, 200)
    before, first = await messages(nats_server), last(nats_server)
    for _ in range(3):
        assert await own.renew_many(entries, ttl=60) == [True] * 200
    assert last(nats_server) - first == 600
    # The question for the number of the last message counts, too.
    assert await messages(nats_server) - before <= 610
    # What was renewed with others is still remembered when it is written alone.
    assert await own.compare_and_set("k7", "value 7", "changed", ttl=60)


async def test_what_another_has_written_is_not_renewed(
    own: NatsBackend, other: NatsBackend
) -> None:
    entries = await held(own, 5)
    assert await other.compare_and_set("k1", "value 1", "theirs", ttl=60)
    await other.delete("k2")
    assert await other.compare_and_set("k3", "value 3", "value 3", ttl=60)
    assert await own.renew_many(entries, ttl=60) == [True, False, False, False, True]
    assert [await own.get(key) for key, _ in entries[1:4]] == ["theirs", None, "value 3"]
    # The value is there, under a number of another's: the key alone finds that out.
    assert await own.compare_and_set("k3", "value 3", "value 3", ttl=60)
    assert await own.renew_many(entries, ttl=60) == [True, False, False, True, True]


async def test_what_is_not_remembered_is_not_asked_for(
    own: NatsBackend, other: NatsBackend, nats_server: NatsServer
) -> None:
    entries = await held(own, 3)
    assert await other.get("k0") == "value 0"
    before = await messages(nats_server)
    assert await other.renew_many(entries, ttl=60) == [False] * 3
    assert await messages(nats_server) == before
    assert await own.renew_many([("k0", "value 1"), ("none", "")], ttl=60) == [False, False]


async def test_a_bucket_made_anew_is_not_mistaken(
    own: NatsBackend, other: NatsBackend, nats_server: NatsServer
) -> None:
    entries = await held(own, 3)
    nats_server.ask(lambda client: client.jetstream().delete_stream(STREAM))
    assert await own.renew_many(entries, ttl=60) == [False] * 3
    assert await other.create("k1", "theirs", ttl=60)
    assert await own.renew_many(entries, ttl=60) == [False] * 3
    assert await other.get("k1") == "theirs"
    assert await own.get("k0") is None


async def test_a_lost_connection_leaves_it_unknown(nats_server: NatsServer) -> None:
    async with FaultProxy(nats_server.port) as proxy:
        backend = NatsBackend(f"nats://127.0.0.1:{proxy.port}", timeout=2)
        entries = await held(backend, 3)
        proxy.to_client.black_hole = True
        renewing = asyncio.create_task(backend.renew_many(entries, ttl=60))
        assert await renewing == [False] * 3
        proxy.to_client.black_hole = False
        await backend.aclose()
        with pytest.raises(BackendUnavailableError):
            await backend.renew_many(entries, ttl=60)


@in_virtual_time
async def test_answers_are_complete_when_each_has_come_or_failed() -> None:
    message: Any = object()
    answers = Answers(3)
    answers.each[1].set_result(message)
    fail(answers.each[1], TimeoutError())
    fail(answers.each[2], TimeoutError())
    assert not answers.complete.done()
    fail(answers.each[0], TimeoutError())
    fail(answers.each[0], TimeoutError())
    await answers.complete
    assert answers.messages == [None, message, None]


@in_virtual_time
async def test_answers_that_nobody_waits_for_are_done() -> None:
    answers = Answers(2)
    waiting = asyncio.ensure_future(answers.complete)
    waiting.cancel()
    assert all(answer.done() for answer in answers.each)
