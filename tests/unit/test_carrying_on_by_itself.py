"""A caller that brings a continuation, and whose stream is lost meanwhile, goes on by itself."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from resumable_stream import (
    HandshakeTimeoutError,
    ProducerLostError,
    StreamHistoryChangedError,
)
from support.journals import ending_with, journaled
from support.virtual_time import in_virtual_time
from support.world import ID, LEASE, SENTINEL, Source, rest, world

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from support.journals import Notebook
    from support.world import Broker, World


def unused() -> Any:
    raise AssertionError("the source ran again")


def goes_on(*chunks: str, told: list[str] | None = None) -> Callable[[Any], AsyncIterator[str]]:
    async def more(so_far: Any) -> AsyncIterator[str]:
        if told is not None:
            told.append(so_far.text)
        for chunk in chunks:
            yield chunk

    return more


async def produced(here: World, *chunks: str, durability: str = "sync") -> tuple[Broker, Notebook]:
    context, broker, notebook = journaled(here, durability)
    await context.create_new_resumable_stream(ID, Source(*chunks))
    await asyncio.sleep(1.5)
    return broker, notebook


async def die(broker: Broker, notebook: Notebook) -> None:
    broker.away = notebook.away = True
    await asyncio.sleep(2 * LEASE)


@pytest.mark.rule("CNT-5", "P1", "P2")
@in_virtual_time
async def test_who_joined_produces_the_rest() -> None:
    async with world() as here:
        dying = await produced(here, "a", "b")
        context, _, _ = journaled(here, "sync")
        told: list[str] = []
        stream: Any = await context.resumable_stream(
            ID, unused, continue_lost=goes_on("c", "d", told=told)
        )
        assert [await anext(stream), await anext(stream)] == ["a", "b"]
        reading = asyncio.create_task(rest(stream))
        await die(*dying)
        assert await reading == ["c", "d"]
        assert told == ["ab"]
        assert (await context.wait_for_end(ID)).state == "completed"


@pytest.mark.rule("CNT-1", "CNT-5", "P1")
@in_virtual_time
async def test_of_many_that_joined_one_produces_the_rest() -> None:
    async with world() as here:
        dying = await produced(here, "a")
        told: list[str] = []
        more = goes_on("b", "c", told=told)
        contexts = [journaled(here, "sync")[0] for _ in range(3)]
        streams = [
            await one.resumable_stream(ID, unused, continue_lost=more)
            for one in contexts
            for _ in range(4)
        ]
        reading = [asyncio.create_task(rest(stream)) for stream in streams]
        await die(*dying)
        assert await asyncio.gather(*reading) == [["a", "b", "c"]] * 12
        assert told == ["a"]


@pytest.mark.rule("CNT-5", "P1")
@in_virtual_time
async def test_it_goes_on_as_often_as_its_stream_is_lost() -> None:
    async with world() as here:
        dying = await produced(here, "a")
        sources = [Source("b"), ending_with("c")]
        attached = []
        for _ in range(2):
            context, broker, notebook = journaled(here, "sync")
            stream: Any = await context.resumable_stream(
                ID, unused, continue_lost=lambda _: sources.pop(0)()
            )
            attached.append((notebook, broker, asyncio.create_task(rest(stream))))
        await die(*dying)
        # One of them has gone on, and the other one reads that.
        attached.sort(key=lambda one: one[0].appends)
        (_, _, reading), (notebook, broker, dead) = attached
        assert notebook.appends
        await die(broker, notebook)
        assert await reading == ["a", "b", "c"]
        assert not sources
        dead.cancel()


@pytest.mark.rule("CNT-5", "P3")
@in_virtual_time
async def test_who_brings_no_continuation_is_told() -> None:
    async with world() as here:
        dying = await produced(here, "a")
        context, _, _ = journaled(here, "sync")
        stream: Any = await context.resumable_stream(ID, unused)
        assert await anext(stream) == "a"
        reading = asyncio.create_task(rest(stream))
        await die(*dying)
        with pytest.raises(ProducerLostError):
            await reading


@pytest.mark.rule("CNT-3", "P1")
@in_virtual_time
async def test_who_has_read_more_than_is_kept_is_told() -> None:
    async with world() as here:
        context, broker, notebook = journaled(here, "async")
        source = Source("a")
        await context.create_new_resumable_stream(ID, source)
        await asyncio.sleep(3)
        other, _, _ = journaled(here, "async")
        stream: Any = await other.resumable_stream(ID, unused, continue_lost=goes_on("c"))
        notebook.away = True
        source.put("b")
        assert [await anext(stream), await anext(stream)] == ["a", "b"]
        reading = asyncio.create_task(rest(stream))
        await die(broker, notebook)
        with pytest.raises(StreamHistoryChangedError) as told:
            await reading
        assert told.value.kept == 1


@pytest.mark.rule("CNT-5", "P10")
@in_virtual_time
async def test_who_leaves_meanwhile_leaves_nothing() -> None:
    async with world() as here:
        dying = await produced(here, "a")
        context, _, notebook = journaled(here, "sync")
        stream: Any = await context.resumable_stream(ID, unused, continue_lost=goes_on("b"))
        assert await anext(stream) == "a"
        reading = asyncio.create_task(rest(stream))

        async def leave() -> None:
            notebook.meanwhile = None
            reading.cancel()
            await asyncio.sleep(1)

        notebook.meanwhile = leave
        await die(*dying)
        await asyncio.wait({reading})
        assert reading.cancelled()
        await stream.aclose()
        await asyncio.sleep(2 * LEASE)
        again: Any = await context.resumable_stream(ID, unused, continue_lost=goes_on("b"))
        assert await rest(again) == ["a", "b"]


@pytest.mark.rule("CNT-5", "P1")
@in_virtual_time
async def test_who_has_read_nothing_starts_what_left_nothing() -> None:
    async with world() as here:
        dying = await produced(here, durability="async")
        context, _, _ = journaled(here, "async")
        stream: Any = await context.resumable_stream(
            ID, ending_with("a", "b"), continue_lost=goes_on()
        )
        reading = asyncio.create_task(rest(stream))
        await die(*dying)
        assert await reading == ["a", "b"]


@pytest.mark.rule("CNT-5", "P7")
@in_virtual_time
async def test_who_looks_at_its_watch_meanwhile_goes_on_all_the_same() -> None:
    """As a server does that sends heartbeats while nothing comes."""
    async with world() as here:
        dying = await produced(here, "a")
        context, _, notebook = journaled(here, "sync")
        told: list[str] = []
        stream: Any = await context.resumable_stream(
            ID, unused, continue_lost=goes_on("b", told=told)
        )
        assert await anext(stream) == "a"

        async def slow() -> None:
            await asyncio.sleep(5)

        notebook.meanwhile = slow
        dying[0].away = dying[1].away = True
        chunk, silences = "", 0
        while not chunk:
            try:
                chunk = await asyncio.wait_for(anext(stream), 1)
            except TimeoutError:
                silences += 1
                assert silences < 60
        assert chunk == "b"
        assert told == ["a"]
        assert silences > LEASE


@pytest.mark.rule("CNT-1", "P4")
@in_virtual_time
async def test_who_comes_before_the_lease_has_run_out_goes_on_then() -> None:
    async with world() as here:
        broker, notebook = await produced(here, "a")
        broker.away = notebook.away = True
        context, _, _ = journaled(here, "sync", handshake_timeout=0.1 * LEASE)
        stream: Any = await context.resumable_stream(ID, unused, continue_lost=goes_on("b"))
        assert await rest(stream) == ["a", "b"]


@pytest.mark.rule("P4")
@in_virtual_time
async def test_nobody_waits_for_longer_than_a_lease_for_who_does_not_answer() -> None:
    async with world() as here:
        broker, _ = await produced(here, "a")
        broker.drop = lambda _channel, _message: True  # it lives, and nobody hears it
        context, _, _ = journaled(here, "sync", handshake_timeout=0.1 * LEASE)
        began = asyncio.get_running_loop().time()
        with pytest.raises(HandshakeTimeoutError):
            await context.resumable_stream(ID, unused, continue_lost=goes_on("b"))
        assert LEASE <= asyncio.get_running_loop().time() - began <= 1.5 * LEASE


@pytest.mark.rule("CNT-5", "P10")
@pytest.mark.parametrize("chunks", [[], ["a"]])
@in_virtual_time
async def test_who_closes_leaves_it_to_others(chunks: list[str]) -> None:
    async with world() as here:
        context, broker, _ = journaled(here, "sync")
        more = goes_on("b")
        stream: Any = await context.resumable_stream(ID, Source(*chunks), continue_lost=more)
        reading = asyncio.create_task(rest(stream))
        await asyncio.sleep(1)
        await context.aclose(0)
        with pytest.raises(ProducerLostError):
            await reading
        claims = {value for key, value in broker.writes if key == SENTINEL}
        assert len(claims) == 2, "its own, and DONE"
        other, _, _ = journaled(here, "sync")
        again: Any = await other.resumable_stream(ID, unused, continue_lost=more)
        assert await rest(again) == [*chunks, "b"]
