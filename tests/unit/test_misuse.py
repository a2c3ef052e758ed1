"""A mistake in a program raises an error that names it, in the call that makes it."""

from __future__ import annotations

import asyncio
import concurrent.futures
from typing import TYPE_CHECKING, Any

import pytest
import redis
import redis.asyncio

from resumable_stream import (
    ContextClosedError,
    InvalidArgumentError,
    InvalidSettingError,
    ResumableStream,
    ResumableStreamContext,
    WrongEventLoopError,
    create_resumable_stream_context,
)
from resumable_stream.sse import sse_reply
from resumable_stream_memory import MemoryBackend
from support.world import ID, Source, rest, two_chunks

if TYPE_CHECKING:
    from collections.abc import Coroutine


async def once(context: ResumableStreamContext) -> list[str]:
    return await rest(await context.resumable_stream(ID, two_chunks))


# Entered again


def test_a_context_that_was_closed_can_be_entered_again() -> None:
    context = create_resumable_stream_context("memory://entered-again")

    async def lifespan() -> list[str]:
        async with context:
            return await once(context)

    for _ in range(3):
        assert asyncio.run(lifespan()) == ["a", "b"]


def test_a_context_that_was_closed_serves_another_loop() -> None:
    context = create_resumable_stream_context("memory://closed-by-its-lifespan")

    async def lifespan() -> list[str]:
        try:
            return await once(context)
        finally:
            await context.aclose()
            with pytest.raises(ContextClosedError, match="enter it again"):
                await context.has_existing_stream(ID)

    for _ in range(3):
        assert asyncio.run(lifespan()) == ["a", "b"]


async def test_each_entry_is_a_fresh_instance() -> None:
    context = create_resumable_stream_context("memory://fresh")
    source = Source("a")
    async with context:
        stream = await context.create_new_resumable_stream(ID, source)
        assert await anext(stream) == "a"
        await context.aclose(0)
        with pytest.raises(ContextClosedError, match="enter it again"):
            await context.has_existing_stream(ID)
    async with context:
        assert await once(context) == ["a", "b"]
    with pytest.raises(ContextClosedError):
        await context.has_existing_stream(ID)


async def test_a_backend_that_was_given_is_used_again() -> None:
    backend = MemoryBackend("given")
    context = create_resumable_stream_context(backend=backend)
    for stream_id in ("first", "second"):
        async with context:
            assert await rest(await context.resumable_stream(stream_id, two_chunks)) == ["a", "b"]
    await backend.aclose()


async def test_a_context_that_was_never_used_can_be_closed_and_entered() -> None:
    context = create_resumable_stream_context("memory://never-used")
    await context.aclose()
    async with context:
        assert await once(context) == ["a", "b"]


# Called on another event loop, or on none


def in_another_loop(work: Coroutine[Any, Any, Any]) -> BaseException | None:
    with concurrent.futures.ThreadPoolExecutor() as pool:
        return pool.submit(asyncio.run, work).exception()


async def test_a_second_loop_is_a_mistake_and_no_outage() -> None:
    async with create_resumable_stream_context("memory://second-loop") as context:
        for call in (
            once(context),
            context.has_existing_stream(ID),
            context.aclose(),
            context.__aenter__(),
        ):
            error = in_another_loop(call)
            assert isinstance(error, WrongEventLoopError)
            assert not isinstance(error, ContextClosedError)
            assert "per loop" in str(error)
        assert await once(context) == ["a", "b"], "its own loop goes on"


async def test_a_second_loop_is_no_503_to_a_client() -> None:
    async with create_resumable_stream_context("memory://answered") as context:
        request = sse_reply({}, {}, lambda _: context.resumable_stream(ID, two_chunks))
        assert isinstance(in_another_loop(request), WrongEventLoopError)


def test_trio_is_told_that_asyncio_is_needed() -> None:
    context = create_resumable_stream_context("memory://trio")
    for call in (context.resumable_stream(ID, two_chunks), context.__aenter__()):
        # No trio is needed: to the context, all coroutines outside an asyncio loop look the same.
        with pytest.raises(WrongEventLoopError, match="trio"):
            call.send(None)


# Settings


class FakeRedis:
    """A client that looks like one of fakeredis by the name of its module."""


FakeRedis.__module__ = "fakeredis._server"


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"backend": redis.Redis()}, r"RedisBackend\(client=\.\.\.\)"),
        ({"backend": redis.asyncio.Redis()}, r"RedisBackend\(client=\.\.\.\)"),
        ({"backend": FakeRedis()}, "memory://"),
        ({"backend": object()}, "methods of Backend"),
        ({"backend": MemoryBackend}, "the class .*MemoryBackend"),
        ({"backend": "redis://localhost"}, "or a url"),
        ({"url": redis.asyncio.Redis()}, r"RedisBackend\(client=\.\.\.\)"),
        ({"url": FakeRedis()}, "memory://"),
        ({"redis_url": redis.Redis()}, r"RedisBackend\(client=\.\.\.\)"),
        ({"url": 6379}, "url is a builtins.int: pass text"),
        ({"url": b"redis://localhost"}, "pass text"),
        ({"url": "memory://", "options": {"lease": 5}}, r"resumable_stream\.Options"),
        ({"url": "memory://", "wait_until": "later"}, "cannot be called"),
        ({"url": "memory://", "key_prefix": None}, "key_prefix"),
        ({"url": "memory://", "key_prefix": b"app"}, "key_prefix"),
    ],
)
def test_a_setting_of_the_wrong_kind_is_refused_when_given(
    settings: dict[str, Any], told: str
) -> None:
    with pytest.raises(InvalidSettingError, match=told):
        create_resumable_stream_context(**settings)


def test_a_url_that_is_empty_is_taken_from_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("REDIS_URL", "memory://environment")
    context = create_resumable_stream_context("")
    assert asyncio.run(once(context)) == ["a", "b"]
    assert not isinstance(context, ResumableStream)


@pytest.mark.parametrize("drain_timeout", ["5", -1, float("nan"), True, object()])
async def test_an_invalid_drain_timeout_is_refused_and_closes_nothing(
    drain_timeout: Any,
) -> None:
    async with create_resumable_stream_context("memory://") as context:
        with pytest.raises(InvalidArgumentError, match="drain_timeout"):
            await context.aclose(drain_timeout)
        assert await once(context) == ["a", "b"]
