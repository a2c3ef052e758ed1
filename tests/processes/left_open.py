"""A program that ends with an open context or backend: ``left_open.py SITUATION URL``.

When the event loop ends, Python reports on standard error what is left behind.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import sys
from typing import TYPE_CHECKING
from uuid import uuid4

from resumable_stream import BackendError, Options, create_resumable_stream_context, find_opener

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine

    from resumable_stream import Backend, ResumableStream, ResumableStreamContext
    from resumable_stream.journal import Journal

MANY = 30
TURNS = 60
PATIENCE = 30.0
STREAM = str(uuid4())

# Objects are kept here: an unreferenced one is collected at once, and its tasks never cancelled.
_kept: list[object] = []


def context(url: str) -> ResumableStreamContext:
    made = create_resumable_stream_context(url, options=Options(lease=3))
    _kept.append(made)
    return made


async def endless() -> AsyncIterator[str]:
    yield "first"
    while True:
        await asyncio.sleep(0.01)
        yield "more"


async def short() -> AsyncIterator[str]:
    yield "all of it"


async def produce(streams: ResumableStreamContext, stream_id: str = STREAM) -> None:
    stream = await streams.create_new_resumable_stream(stream_id, endless)
    await anext(stream)
    _kept.append(stream)


async def attach(streams: ResumableStreamContext, stream_id: str = STREAM) -> ResumableStream:
    stream = await streams.resume_existing_stream(stream_id)
    assert stream, "the stream was not found"
    await anext(stream)
    _kept.append(stream)
    return stream


async def drain(stream: ResumableStream) -> None:
    async for _ in stream:
        pass


async def producing(url: str) -> None:
    await produce(context(url))


async def reading_elsewhere(url: str) -> None:
    await produce(context(url))
    reading = await attach(context(url))
    _kept.append(asyncio.create_task(drain(reading)))
    await asyncio.sleep(0)


async def many(url: str) -> None:
    here, there = context(url), context(url)
    for number in range(MANY):
        await produce(here, f"{number}")
        reading = await attach(there, f"{number}")
        _kept.append(asyncio.create_task(drain(reading)))
    await asyncio.sleep(0)


async def failing(url: str) -> None:
    await reading_elsewhere(url)
    raise SystemExit(3)


async def interrupted(url: str) -> None:
    await reading_elsewhere(url)
    os.kill(os.getpid(), signal.SIGINT)
    await asyncio.sleep(PATIENCE)


async def all_ended(url: str) -> None:
    streams = context(url)
    stream = await streams.create_new_resumable_stream(STREAM, short)
    assert [chunk async for chunk in stream] == ["all of it"]
    await streams.has_existing_stream(STREAM)


async def asking(url: str) -> None:
    """Calls are under way while the loop ends."""
    streams = context(url)

    async def ask() -> None:
        while True:
            await streams.has_existing_stream(STREAM)

    _kept.extend(asyncio.create_task(ask()) for _ in range(MANY))
    await streams.has_existing_stream(STREAM)


async def broker_broken(url: str) -> None:
    """Report that all is set up, and end the loop once the test has broken the broker."""
    await reading_elsewhere(url)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.readline)


async def backend_busy(url: str) -> None:
    """A backend without a context has every call under way, and cancelled tasks call it again."""
    backend = find_opener(url)(url)
    _kept.append(backend)
    await backend.subscribe("channel", _kept.append, _kept.append)
    started = asyncio.Event()
    _kept.extend(asyncio.create_task(_insist(work, started)) for work in _every_call(backend))
    await backend.set("key", "value", ttl=60)
    await started.wait()


def end_at_every_turn(open_backend: Callable[[], Backend]) -> None:
    """End a loop with calls under way, for each number of turns after a backend's first use."""
    # The objects that exist already belong to no turn, and would make each collection slow.
    gc.freeze()
    try:
        for turns in range(TURNS):
            asyncio.run(_undisturbed(_use(open_backend(), turns)), debug=True)
            _kept.clear()
            gc.collect()
    finally:
        gc.unfreeze()


async def _use(backend: Backend, turns: int) -> None:
    _kept.append(backend)
    started = asyncio.Event()
    _kept.extend(asyncio.create_task(_insist(work, started)) for work in _every_call(backend))
    for _ in range(turns):
        await asyncio.sleep(0)


def _every_call(backend: Backend) -> list[Callable[[], Awaitable[object]]]:
    async def subscribe() -> None:
        await (await backend.subscribe("other", _kept.append, _kept.append)).aclose()

    journal: Journal | None = getattr(backend, "journal", None)
    of_journal: list[Callable[[], Awaitable[object]]] = []
    if journal is not None:
        of_journal = [
            lambda: journal.append("log", 0, b"record", ttl=60),
            lambda: journal.read("log", 0, max_bytes=100),
            lambda: journal.delete("log"),
        ]
    return [
        *of_journal,
        lambda: backend.get("key"),
        lambda: backend.set("key", "value", ttl=60),
        lambda: backend.create("key", "value", ttl=60),
        lambda: backend.compare_and_set("key", "value", "value", ttl=60),
        lambda: backend.delete("key"),
        lambda: backend.publish("channel", b"message"),
        subscribe,
    ]


async def _insist(work: Callable[[], Awaitable[object]], started: asyncio.Event) -> None:
    """Call repeatedly, and three more times after a cancellation."""
    try:
        while True:
            await work()
            started.set()
            await asyncio.sleep(0)
    except asyncio.CancelledError:
        for _ in range(3):
            try:
                await work()
            except BackendError as error:
                _kept.append(error)
            await asyncio.sleep(0)
        raise


SITUATIONS: dict[str, Callable[[str], Coroutine[None, None, None]]] = {
    task.__name__: task
    for task in (
        producing,
        reading_elsewhere,
        many,
        failing,
        interrupted,
        all_ended,
        asking,
        broker_broken,
        backend_busy,
    )
}


async def _undisturbed(task: Coroutine[None, None, None]) -> None:
    # Debug mode also reports slow steps, but they are nothing that was left behind.
    asyncio.get_running_loop().slow_callback_duration = PATIENCE
    await task


def main(situation: str, url: str) -> None:
    if situation == "backend_new":
        end_at_every_turn(lambda: find_opener(url)(url))
    else:
        asyncio.run(_undisturbed(SITUATIONS[situation](url)))


if __name__ == "__main__":
    # A shell may start a background program with SIGINT ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        main(*sys.argv[1:])
    except KeyboardInterrupt:
        sys.exit(130)
