"""What a context takes, starts and closes."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import pytest

from resumable_stream import (
    NOT_FOUND,
    BackendUnavailableError,
    ContextClosedError,
    HandshakeTimeoutError,
    InvalidStreamIdError,
    ProducerLostError,
    ResumableStream,
    StreamExistsError,
    StreamFailedError,
    StreamHistoryChangedError,
    StreamState,
    create_resumable_stream_context,
)
from support.virtual_time import in_virtual_time, loop_time
from support.world import ID, LEASE, SENTINEL, Source, begin, rest, two_chunks, world

if TYPE_CHECKING:
    from collections.abc import Awaitable


@pytest.mark.parametrize("bad", ["", "x" * 513, 7, None, b"id", "a\nb", "\x7f", "\x85", "\ud800"])
@in_virtual_time
async def test_bad_stream_ids_are_refused(bad: Any) -> None:
    async with world() as here:
        context, _ = here.instance()
        for call in (
            context.resumable_stream(bad, two_chunks),
            context.create_new_resumable_stream(bad, two_chunks),
            context.resume_existing_stream(bad),
            context.has_existing_stream(bad),
            context.stream_status(bad),
            context.cancel_stream(bad),
        ):
            with pytest.raises(InvalidStreamIdError, match="stream id"):
                await call


@pytest.mark.rule("P5")
@in_virtual_time
async def test_a_taken_id_is_taken_everywhere() -> None:
    async with world() as here:
        source = Source("a")
        contexts = [here.instance()[0] for _ in range(2)]
        stream = await contexts[0].create_new_resumable_stream(ID, source)
        for _ in range(2):
            for context in contexts:
                with pytest.raises(StreamExistsError, match="uuid"):
                    await context.create_new_resumable_stream(ID, source)
            source.finish()
            assert await rest(stream) in (["a"], [])
        assert source.calls == 1


@pytest.mark.rule("P5")
@in_virtual_time
async def test_many_starts_run_the_source_once() -> None:
    async with world() as here:
        source = Source("a", "b")
        contexts = [here.instance()[0] for _ in range(4)]
        starts = [context.resumable_stream(ID, source) for context in contexts for _ in range(25)]
        streams = await asyncio.gather(*starts)
        assert source.calls == 1
        source.finish()
        texts = await asyncio.gather(*map(rest, streams))
        assert texts == [["a", "b"]] * 100


@pytest.mark.rule("P6")
@in_virtual_time
async def test_the_local_reader_needs_no_broker() -> None:
    async with world() as here:
        context, broker = here.instance()
        source = Source()
        stream = await context.create_new_resumable_stream(ID, source)
        broker.away = True
        source.put("a", "b")
        assert await anext(stream) == "a"
        joined = await context.resumable_stream(ID, source, 1)
        assert isinstance(joined, ResumableStream)
        assert await anext(joined) == "b"
        assert await context.has_existing_stream(ID) is True
        source.finish()
        began = asyncio.get_running_loop().time()
        assert await rest(stream) == ["b"]
        assert asyncio.get_running_loop().time() - began < 1


@pytest.mark.rule("P4")
@in_virtual_time
async def test_an_id_that_is_taken_and_gone_again_and_again_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def taken(_key: str, _value: str, *, ttl: int) -> bool:
        await asyncio.sleep(0.1)
        return False

    async with world() as here:
        context, broker = here.instance()
        monkeypatch.setattr(broker, "create", taken)
        source = Source("a")
        async with asyncio.timeout(10):
            with pytest.raises(HandshakeTimeoutError):
                await context.resumable_stream(ID, source)
        assert source.calls == 0


@pytest.mark.rule("P4")
@in_virtual_time
async def test_who_has_the_id_next_is_asked_though_nobody_answered_before() -> None:
    """It is asked even if the attempt before took longer than ``handshake_timeout``."""
    async with world() as here:
        await here.raw.set(SENTINEL, str(7 << 20), ttl=1)
        context, _ = here.instance(handshake_timeout=1)
        resuming = asyncio.create_task(context.resume_existing_stream(ID))
        await asyncio.sleep(0.99)
        await here.raw.delete(SENTINEL)
        source, *_ = await begin(here, "a")
        stream = await resuming
        source.finish()
        assert await rest(stream) == ["a"]


@pytest.mark.rule("P4")
@in_virtual_time
async def test_an_id_whose_claim_went_while_it_was_joined_is_started() -> None:
    """It is started even if the attempt to join took longer than ``handshake_timeout``."""
    async with world() as here:
        await here.raw.set(SENTINEL, str(7 << 20), ttl=1)
        context, _ = here.instance(handshake_timeout=1)
        source, began = Source("a"), loop_time()
        stream = await context.resumable_stream(ID, source)
        assert loop_time() - began > 1
        source.finish()
        assert await rest(stream) == ["a"]


@in_virtual_time
async def test_a_new_run_does_not_continue_an_old_id() -> None:
    async with world() as here:
        context, _ = here.instance()
        source = Source("a")
        with pytest.raises(StreamHistoryChangedError):
            await context.resumable_stream(ID, source, last_event_id="77-3")
        assert source.calls == 0
        assert await here.sentinel() is None
        assert await context.resume_existing_stream(ID, last_event_id="77-3") is NOT_FOUND


@in_virtual_time
async def test_not_found_is_falsy_and_equals_its_name() -> None:
    async with world() as here:
        context, _ = here.instance()
        answer = await context.resume_existing_stream(ID)
        assert not answer
        assert answer == "NOT_FOUND"
        assert answer is NOT_FOUND
        assert repr(answer) == "NOT_FOUND"


@in_virtual_time
async def test_errors_can_be_withheld() -> None:
    async with world() as here:
        context, _ = here.instance(disclose_errors=False)
        other, _ = here.instance()
        source = Source("a")
        local = await context.create_new_resumable_stream(ID, source)
        await asyncio.sleep(0.1)
        remote = await other.resume_existing_stream(ID)
        source.finish(ValueError("secret"))
        with pytest.raises(StreamFailedError, match="secret"):
            await rest(local)
        with pytest.raises(StreamFailedError) as told:
            await rest(remote)
        assert told.value.error_type is None
        assert "secret" not in str(told.value)
        assert (await other.stream_status(ID)).error_message is None


@pytest.mark.rule("P3", "P10")
@in_virtual_time
async def test_close_drains_then_ends_truthfully() -> None:
    async with world() as here:
        context, _ = here.instance()
        other, _ = here.instance()
        short, endless = Source("a"), Source("b")
        finished = await context.create_new_resumable_stream(ID, short)
        cut = await context.create_new_resumable_stream("endless", endless)
        await asyncio.sleep(0.1)
        remote = await other.resume_existing_stream("endless")
        asyncio.get_running_loop().call_later(3, short.finish)
        began = asyncio.get_running_loop().time()
        await context.aclose(5)
        assert 5 <= asyncio.get_running_loop().time() - began < 8
        assert await rest(finished) == ["a"]
        for stream in (cut, remote):
            assert isinstance(stream, ResumableStream)
            assert await anext(stream) == "b"
            with pytest.raises(ProducerLostError) as caught:
                await anext(stream)
            assert caught.value.offset == 1
        assert endless.closed
        assert (await other.stream_status("endless")).state is StreamState.LOST
        with pytest.raises(ContextClosedError, match="create another"):
            await context.has_existing_stream(ID)
        await context.aclose()


@pytest.mark.rule("P10")
@in_virtual_time
async def test_a_cancelled_close_still_ends_everything() -> None:
    async with world() as here:
        context, _ = here.instance()
        source = Source("a")
        await context.create_new_resumable_stream(ID, source)
        closing = asyncio.create_task(context.aclose(1000))
        await asyncio.sleep(1)
        closing.cancel()
        await asyncio.wait({closing})
        await asyncio.sleep(2)
        assert source.closed
        assert await here.sentinel() == "DONE"


@pytest.mark.rule("SEN-1", "P10")
@in_virtual_time
async def test_a_start_that_may_not_listen_fails_at_once() -> None:
    async with world() as here:
        context, broker = here.instance()
        broker.away = True
        source = Source("a")
        with pytest.raises(BackendUnavailableError):
            await context.create_new_resumable_stream(ID, source)
        assert source.calls == 0
        assert await here.sentinel() is None


@in_virtual_time
async def test_a_start_is_not_left_behind_by_a_close() -> None:
    async with world() as here:
        context, _ = here.instance()
        source = Source("a")
        start = asyncio.create_task(context.create_new_resumable_stream(ID, source))
        await asyncio.sleep(0)
        await context.aclose(0)
        await asyncio.wait({start})
        if start.exception() is not None:
            assert isinstance(start.exception(), ContextClosedError)
        await asyncio.sleep(2)
        assert await here.sentinel() in (None, "DONE")


@in_virtual_time
async def test_wait_until_is_told_of_the_work() -> None:
    async with world() as here:
        work: list[Awaitable[None]] = []
        _, broker = here.instance()
        context = create_resumable_stream_context(backend=broker, wait_until=work.append)
        here.contexts.append(context)
        source = Source("a")
        stream = await context.create_new_resumable_stream(ID, source)
        (awaitable,) = work
        waiting = asyncio.ensure_future(awaitable)
        await asyncio.sleep(LEASE)
        assert not waiting.done()
        source.finish()
        assert await rest(stream) == ["a"]
        await asyncio.wait_for(waiting, 5)
        assert await here.sentinel() == "DONE"


@in_virtual_time
async def test_a_failing_wait_until_ends_the_stream() -> None:
    async with world() as here:

        def refuse(_work: Awaitable[None]) -> None:
            raise RuntimeError("no background work here")

        _, broker = here.instance()
        context = create_resumable_stream_context(backend=broker, wait_until=refuse)
        here.contexts.append(context)
        source = Source("a")
        with pytest.raises(RuntimeError, match="no background work"):
            await context.create_new_resumable_stream(ID, source)
        await asyncio.sleep(1)
        assert await here.raw.get(SENTINEL) == "DONE"


@in_virtual_time
async def test_logs_name_the_stream_and_never_its_text() -> None:
    records: list[logging.LogRecord] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append(record)

    handler = Keep(logging.INFO)
    logging.getLogger("resumable_stream").addHandler(handler)
    try:
        async with world() as here:
            context, _ = here.instance()
            source = Source("the secret text")
            source.finish(ValueError("the secret text"))
            stream = await context.create_new_resumable_stream(ID, source)
            with pytest.raises(StreamFailedError):
                await rest(stream)
            await asyncio.sleep(1)
    finally:
        logging.getLogger("resumable_stream").removeHandler(handler)
    messages = [record.getMessage() for record in records]
    assert any("stream 'stream': generation" in message for message in messages)
    assert not any("secret" in message for message in messages)


@pytest.mark.rule("P10")
@in_virtual_time
async def test_leaving_its_block_closes_a_context() -> None:
    async with world() as here:
        context, _ = here.instance()
        async with context:
            stream = await context.create_new_resumable_stream(ID, two_chunks)
            assert await rest(stream) == ["a", "b"]
        with pytest.raises(ContextClosedError):
            await context.resume_existing_stream(ID)
