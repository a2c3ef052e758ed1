"""A failing source, and an object that cannot be a source, are reported to their author."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
from typing import TYPE_CHECKING, Any

import pytest

from resumable_stream import InvalidSourceError, StreamFailedError, StreamState
from resumable_stream.sse import as_events
from support.virtual_time import in_virtual_time
from support.world import ID, Source, rest, world

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


def errors_in(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.levelno >= logging.ERROR]


@pytest.mark.rule("P3")
@pytest.mark.parametrize("reads", [True, False])
@in_virtual_time
async def test_a_failure_is_logged_once_with_its_traceback(
    caplog: pytest.LogCaptureFixture, *, reads: bool
) -> None:
    async with world() as here:
        context, _ = here.instance()
        other, _ = here.instance()
        source = Source("a")
        stream = await context.create_new_resumable_stream(ID, source)
        remote = await other.resume_existing_stream(ID)
        source.finish(LookupError("no such model"))
        if reads:
            for reader in (stream, remote):
                with pytest.raises(StreamFailedError):
                    await rest(reader)
        await context.wait_for_end(ID)
    (record,) = errors_in(caplog)
    assert record.exc_info is not None
    assert "LookupError: no such model" in logging.Formatter().format(record)
    assert ID in record.getMessage()


@in_virtual_time
async def test_a_traceback_can_be_left_out(caplog: pytest.LogCaptureFixture) -> None:
    async with world() as here:
        context, _ = here.instance(log_tracebacks=False)
        source = Source("a")
        await context.create_new_resumable_stream(ID, source)
        source.finish(LookupError("a secret"))
        await context.wait_for_end(ID)
    (record,) = errors_in(caplog)
    text = logging.Formatter().format(record)
    assert "LookupError" in text
    assert "secret" not in text


@in_virtual_time
async def test_no_text_of_a_stream_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async with world() as here:
        context, _ = here.instance()
        source = Source("a confession")
        await context.create_new_resumable_stream(ID, source)
        source.finish(LookupError())
        await context.wait_for_end(ID)
    assert not any("confession" in logging.Formatter().format(one) for one in caplog.records)


class Model:
    """An event of some SDK."""


@pytest.mark.parametrize(
    ("chunk", "hint"),
    [
        (b"a", r"chunk\.decode\(\)"),
        (bytearray(b"a"), r"chunk\.decode\(\)"),
        (None, "only when there is text"),
        ({"delta": "a"}, "json.dumps"),
        (["a"], "json.dumps"),
        (("messages", "a"), "yield the text of it"),
        (Model(), "yield the text of it"),
        (7, "yield the text of it"),
    ],
)
@in_virtual_time
async def test_a_chunk_that_is_no_text_is_named_with_its_remedy(
    caplog: pytest.LogCaptureFixture, chunk: object, hint: str
) -> None:
    async def source() -> AsyncIterator[Any]:
        yield "a"
        yield chunk

    async with world() as here:
        context, _ = here.instance()
        stream = await context.create_new_resumable_stream(ID, source)
        with pytest.raises(StreamFailedError, match=hint) as caught:
            await rest(stream)
    assert type(chunk).__name__ in str(caught.value)
    assert ("decode" in str(caught.value)) == isinstance(chunk, bytes | bytearray)
    (record,) = errors_in(caplog)
    assert str(caught.value.__cause__) in logging.Formatter().format(record)


def sync_chunks() -> Iterator[str]:
    yield "a"


class SyncCallable:
    def __call__(self) -> Iterator[str]:
        yield "a"


@contextlib.asynccontextmanager
async def managed() -> AsyncIterator[AsyncIterator[str]]:
    yield async_chunks()


async def async_chunks() -> AsyncIterator[str]:
    yield "a"


class Entered:
    async def __aenter__(self) -> AsyncIterator[str]:
        return async_chunks()

    async def __aexit__(self, *_: object) -> None: ...


async def coroutine() -> AsyncIterator[str]:
    return async_chunks()


@pytest.mark.parametrize(
    ("make", "remedy"),
    [
        (lambda: sync_chunks, "asyncio.to_thread"),
        (lambda: functools.partial(sync_chunks), "asyncio.to_thread"),
        (SyncCallable, "asyncio.to_thread"),
        (lambda: managed, "async with"),
        (lambda: functools.partial(managed), "async with"),
        (managed, "async with"),
        (Entered, "async with"),
        (coroutine, "without calling it"),
        (async_chunks, "async generator function itself"),
        (sync_chunks, "async generator function itself"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
@pytest.mark.parametrize("wrapped", [False, True], ids=["plain", "as events"])
@in_virtual_time
async def test_what_shows_at_the_call_is_refused_at_the_call(
    make: Any, remedy: str, *, wrapped: bool
) -> None:
    async with world() as here:
        context, _ = here.instance()
        if wrapped:
            with pytest.raises(InvalidSourceError, match=remedy):
                as_events(make())
            return
        for call in (context.resumable_stream, context.create_new_resumable_stream):
            with pytest.raises(InvalidSourceError, match=remedy):
                await call(ID, make())
        assert await here.sentinel() is None


@pytest.mark.parametrize(
    ("make", "remedy"),
    [
        (lambda: [*sync_chunks()], "asyncio.to_thread"),
        (lambda: iter(sync_chunks()), "asyncio.to_thread"),
        (Entered, "async with"),
        (lambda: "text", "async iterable of str"),
    ],
)
@in_virtual_time
async def test_what_shows_only_in_the_source_is_told_and_logged(
    caplog: pytest.LogCaptureFixture, make: Any, remedy: str
) -> None:
    async with world() as here:
        context, _ = here.instance()
        stream = await context.create_new_resumable_stream(ID, make)
        with pytest.raises(StreamFailedError, match=remedy):
            await rest(stream)
    assert len(errors_in(caplog)) == 1


class HostError(BaseException):
    """A failure that is no ``Exception``, as when the runtime of another language panics."""


@pytest.mark.rule("P3", "P4")
@pytest.mark.parametrize(
    "error",
    [
        HostError("panic"),
        GeneratorExit(),
        BaseExceptionGroup("several", [HostError("one")]),
        asyncio.CancelledError("its own"),
        StopAsyncIteration(),
    ],
    ids=lambda error: type(error).__name__,
)
@in_virtual_time
async def test_whatever_a_source_raises_is_a_failed_stream(
    caplog: pytest.LogCaptureFixture, error: BaseException
) -> None:
    class Raises:
        def __aiter__(self) -> Raises:
            return self

        async def __anext__(self) -> str:
            await asyncio.sleep(1)
            raise error

    async with world() as here:
        context, _ = here.instance()
        other, _ = here.instance()
        stream = await context.create_new_resumable_stream(ID, Raises)
        remote = await other.resume_existing_stream(ID)
        if isinstance(error, StopAsyncIteration):
            assert await rest(stream) == await rest(remote) == []
            return
        for reader in (stream, remote):
            async with asyncio.timeout(5):
                with pytest.raises(StreamFailedError) as caught:
                    await rest(reader)
            assert caught.value.error_type == type(error).__name__
        assert (await other.stream_status(ID)).state is StreamState.FAILED
        assert len(errors_in(caplog)) == 1
