"""What becomes of answers when their server is stopped, and how the stop is noticed."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
import weakref
from contextlib import asynccontextmanager
from types import FunctionType, ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from resumable_stream.sse import TEXT, UI_MESSAGES, sse_reply
from resumable_stream.sse._shutdown import ServerWatch, watch_server
from support.event_source import EventParser
from support.virtual_time import in_virtual_time
from support.world import ID, begin, world

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from resumable_stream import ResumableStream, ResumableStreamContext
    from resumable_stream.sse import EventFormat, SseReply

INTERRUPTED = {
    "type": "error",
    "errorText": "this stream cannot be read here any longer: resume it",
}


class Answer:
    def __init__(self) -> None:
        self.interrupted = asyncio.Event()

    def interrupt(self) -> bool:
        self.interrupted.set()
        return True


async def _as_self(self: object, end: asyncio.Event) -> None:
    await end.wait()


async def _as_context(context: object, end: asyncio.Event) -> None:
    await end.wait()


@asynccontextmanager
async def coroutine_of(
    module: str, server: object, serve: Callable[..., object] = _as_self
) -> AsyncIterator[None]:
    """Run a coroutine of the module, awaited by another coroutine, until the block ends."""
    assert isinstance(serve, FunctionType)
    of_module = FunctionType(serve.__code__, {"__name__": module})
    end = asyncio.Event()

    async def program() -> None:
        await of_module(server, end)

    task = asyncio.create_task(program())
    await asyncio.sleep(0)
    try:
        yield
    finally:
        end.set()
        await task


class Uvicorn:
    def __init__(self) -> None:
        self.servers = [self]
        self._serving = True

    def is_serving(self) -> bool:
        return self._serving

    def stop(self) -> None:
        self._serving = False


async def attach(context: ResumableStreamContext, place: str | None = None) -> ResumableStream:
    stream = await context.resume_existing_stream(ID, last_event_id=place)
    assert stream
    return stream


async def reply_of(
    context: ResumableStreamContext, place: str | None = None, chunks: EventFormat = TEXT
) -> SseReply:
    headers = {"Last-Event-ID": place} if place else {}
    return await sse_reply(headers, {}, lambda place: attach(context, place), chunks=chunks)


@pytest.mark.parametrize("chunks", [TEXT, UI_MESSAGES])
@pytest.mark.parametrize("where", ["beside", "elsewhere"])
@in_virtual_time
async def test_answer_is_cut_with_its_server_and_its_stream_goes_on(
    chunks: EventFormat, where: str
) -> None:
    async with world() as here:
        source, _, _ = await begin(here, "data: a\n\n" if chunks is UI_MESSAGES else "a")
        context = here.contexts[0] if where == "beside" else here.instance()[0]
        server = Uvicorn()
        async with coroutine_of("uvicorn.server", server):
            reply = await reply_of(context, chunks=chunks)
            parser = EventParser()
            events = [event for _ in range(2) for event in parser.feed(await anext(reply.body))]
            assert [event.data for event in events] == ["a"]
            rest = asyncio.create_task(collected(reply))
            await asyncio.sleep(1)
            assert not rest.done()
            server.stop()
            last = parser.feed(await asyncio.wait_for(rest, 1))
        if chunks is UI_MESSAGES:
            # To these clients an answer that merely ends looks complete.
            assert [event.data for event in last[1:]] == ["[DONE]"]
            assert last[0].json == INTERRUPTED
        else:
            assert not last
        source.put("b")
        source.finish()
        resumed = parser.feed(await collected(await reply_of(here.contexts[0], events[0].id)))
        assert [event.event for event in resumed] == ["message", "done"]
        assert resumed[0].data == "b"


async def collected(reply: SseReply) -> bytes:
    return b"".join([block async for block in reply.body])


@in_virtual_time
async def test_answer_of_a_server_that_is_stopping_already_only_begins() -> None:
    async with world() as here:
        source, _, _ = await begin(here, "a")
        server = Uvicorn()
        server.stop()
        async with coroutine_of("uvicorn.server", server):
            reply = await reply_of(here.contexts[0])
            assert (reply.status, await collected(reply)) == (200, b"retry: 1000\n\n")
        source.finish()


@in_virtual_time
async def test_ending_that_was_told_is_the_last_word() -> None:
    async with world() as here:
        source, _, _ = await begin(here)
        server = Uvicorn()
        async with coroutine_of("uvicorn.server", server):
            reply = await reply_of(here.contexts[0], chunks=UI_MESSAGES)
            source.finish()
            assert b"[DONE]" in [await anext(reply.body) for _ in range(2)][1]
            server.stop()
            await asyncio.sleep(1)
            assert await collected(reply) == b""


@in_virtual_time
async def test_uvicorn_is_seen_stopping_once_nobody_gets_in_any_more() -> None:
    server, answers = Uvicorn(), [Answer(), Answer()]
    async with coroutine_of("uvicorn.server", server):
        watch = watch_server()
        assert watch_server() is watch
        for answer in answers:
            watch.add(answer)
        await asyncio.sleep(60)
        assert not any(answer.interrupted.is_set() for answer in answers)
        server.stop()
        for answer in answers:
            await asyncio.wait_for(answer.interrupted.wait(), 1)


@in_virtual_time
async def test_hypercorn_is_seen_stopping() -> None:
    context = SimpleNamespace(terminated=asyncio.Event())
    answer = Answer()
    async with coroutine_of("hypercorn.asyncio.run", context, _as_context):
        watch = watch_server()
        watch.add(answer)
        await asyncio.sleep(60)
        assert not answer.interrupted.is_set()
        context.terminated.set()
        await asyncio.wait_for(answer.interrupted.wait(), 1)


@pytest.mark.parametrize(
    "server",
    [None, SimpleNamespace(), SimpleNamespace(servers=[]), SimpleNamespace(servers=[None])],
)
@in_virtual_time
async def test_server_that_looks_different_inside_ends_nothing(server: object) -> None:
    answer = Answer()
    for serve in (_as_self, _as_context):
        async with coroutine_of("uvicorn.server", server, serve):
            watch = watch_server()
            watch.add(answer)
            await asyncio.sleep(60)
            del watch
    assert not answer.interrupted.is_set()


@in_virtual_time
async def test_one_of_two_servers_in_a_loop_ends_nothing_alone() -> None:
    servers, answer = [Uvicorn(), Uvicorn()], Answer()
    async with (
        coroutine_of("uvicorn.server", servers[0]),
        coroutine_of("uvicorn.server", servers[1]),
    ):
        watch = watch_server()
        watch.add(answer)
        servers[0].stop()
        await asyncio.sleep(60)
        assert not answer.interrupted.is_set()
        servers[1].stop()
        await asyncio.wait_for(answer.interrupted.wait(), 1)


@in_virtual_time
async def test_next_server_of_a_loop_starts_afresh() -> None:
    first, answers = Uvicorn(), [Answer(), Answer()]
    async with coroutine_of("uvicorn.server", first):
        held = watch_server()
        held.add(answers[0])
        first.stop()
        await asyncio.wait_for(answers[0].interrupted.wait(), 1)
    async with coroutine_of("uvicorn.server", Uvicorn()):
        watch = watch_server()
        watch.add(answers[1])
        await asyncio.sleep(60)
    assert not answers[1].interrupted.is_set()


@in_virtual_time
async def test_nothing_is_watched_once_the_last_answer_has_gone() -> None:
    loop: Any = asyncio.get_running_loop()
    async with coroutine_of("uvicorn.server", Uvicorn()):
        watch = watch_server()
        gone, answer = weakref.ref(watch), Answer()
        watch.add(answer)
        await asyncio.sleep(1)
        del watch
        assert gone() is not None
        del answer
        await asyncio.sleep(1)
        assert gone() is None
        assert not loop._scheduled


@pytest.fixture
def granian(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Pretend that Granian serves, whose state cannot be seen; list the signals it handles."""
    monkeypatch.setitem(sys.modules, "granian", ModuleType("granian"))
    handled: list[int] = []

    def handle(number: int, _: object) -> None:
        handled.append(number)

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    yield handled
    found = [signal.getsignal(number) for number in before]
    for number, handler in before.items():
        signal.signal(number, handler)
    # No handler of the watch is left once its loop has ended.
    assert found == [handle, handle]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_is_heard_beside_its_handler(granian: list[int], number: int) -> None:
    async def stopped() -> None:
        first, late = Answer(), Answer()
        watch_server().add(first)
        os.kill(os.getpid(), number)
        await asyncio.wait_for(first.interrupted.wait(), 5)
        # A request that was under way when the signal came is interrupted, too.
        watch_server().add(late)
        assert late.interrupted.is_set()

    asyncio.run(stopped())
    assert granian == [number]
    gc.collect()


def test_signal_does_not_count_for_ever(granian: list[int]) -> None:
    @in_virtual_time
    async def goes_on() -> None:
        answer = Answer()
        watch = watch_server()
        watch._on_signal()
        await asyncio.sleep(60)
        watch.add(answer)
        await asyncio.sleep(60)
        assert not answer.interrupted.is_set()

    goes_on()
    gc.collect()


def test_signals_of_another_thread_are_left_alone(granian: list[int]) -> None:
    async def elsewhere() -> ServerWatch:
        return watch_server()

    async def ask() -> None:
        await asyncio.to_thread(asyncio.run, elsewhere())

    before = signal.getsignal(signal.SIGTERM)
    asyncio.run(ask())
    assert signal.getsignal(signal.SIGTERM) is before
