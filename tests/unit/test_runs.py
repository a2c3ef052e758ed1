"""Reading in runs: one step takes all present chunks, beside the producer or elsewhere."""

from __future__ import annotations

import asyncio
import gc
import itertools
import random
from typing import TYPE_CHECKING

import pytest

from resumable_stream import (
    OffsetOutOfRangeError,
    OffsetUnit,
    ResumableStream,
    StreamFailedError,
)
from resumable_stream._text.offsets import length
from support.virtual_time import in_virtual_time
from support.world import ID, TypeScriptProducer, begin, world

if TYPE_CHECKING:
    from support.world import World

WHERE = pytest.mark.parametrize("where", ["beside", "elsewhere"])
AWKWARD = ["", "a", "\n", "\N{ROCKET}", "\ud83d", "\ude80", "", "\u6f22\u5b57", "\x1e", "b" * 300]
STEP = 64 * 1024
CHUNK_COST = 32


async def reader(here: World, where: str) -> ResumableStream:
    """Join the stream on the producer's instance, or on a new one."""
    context = here.contexts[0] if where == "beside" else here.instance()[0]
    stream = await context.resume_existing_stream(ID)
    assert isinstance(stream, ResumableStream)
    await asyncio.sleep(1)  # until all present text has come
    return stream


def fits(run: list[str]) -> bool:
    return len(run) == 1 or sum(map(len, run)) + CHUNK_COST * len(run) <= STEP


@WHERE
@in_virtual_time
async def test_a_run_is_all_that_is_there(where: str) -> None:
    async with world() as here:
        source, _, generation = await begin(here, *AWKWARD)
        stream = await reader(here, where)
        runs = stream.runs()
        assert await anext(runs) == AWKWARD
        assert stream.offset == length("".join(AWKWARD), OffsetUnit.UTF16)
        assert stream.last_event_id == f"{generation}-{len(AWKWARD)}"
        step = asyncio.ensure_future(anext(runs))
        await asyncio.sleep(60)
        assert not step.done()
        source.put("c")
        assert await step == ["c"]
        source.put("d")
        await asyncio.sleep(1)
        source.put("e")  # in another message
        await asyncio.sleep(1)
        assert await anext(runs) == ["d", "e"]
        source.finish()
        assert [run async for run in runs] == []


@in_virtual_time
async def test_a_run_of_a_typescript_producer_has_no_event_id() -> None:
    async with world() as here:
        producer = TypeScriptProducer(here)
        await producer.start()
        await producer.send("a", "b")
        stream = await reader(here, "elsewhere")
        await producer.send("c", "d")
        await producer.finish()
        runs = [run async for run in stream.runs()]
        assert runs == [["ab", "c", "d"]]
        assert (stream.offset, stream.last_event_id) == (4, None)


@pytest.mark.rule("P2")
@WHERE
@pytest.mark.parametrize("seed", range(20))
@in_virtual_time
async def test_runs_and_chunks_share_one_position(where: str, seed: int) -> None:
    rng = random.Random(f"{where} {seed}")
    expected = [rng.choice(AWKWARD) + "x" * rng.choice([0, 0, 40, 3000]) for _ in range(800)]
    async with world() as here:
        source, _, generation = await begin(here)
        stream, read = await reader(here, where), list[str]()
        runs, waiting = stream.runs(), expected.copy()
        while len(read) < len(expected):
            while waiting and rng.random() < 0.7:
                count = rng.choice([1, 1, 300])
                source.put(*waiting[:count])
                del waiting[:count]
                await asyncio.sleep(rng.choice([0, 0.01]))
            if len(read) + len(waiting) == len(expected):
                continue
            if rng.random() < 0.3:
                read += await anext(runs)
            else:
                read.append(await anext(stream))
            assert stream.offset == length("".join(read), OffsetUnit.UTF16)
            assert stream.last_event_id == f"{generation}-{len(read)}"
        assert read == expected
        source.finish()
        assert await anext(runs, None) is None
        with pytest.raises(StopAsyncIteration):
            await anext(stream)


@pytest.mark.rule("P2")
@WHERE
@pytest.mark.parametrize("ticks", range(12))
@in_virtual_time
async def test_a_cancelled_step_takes_nothing(where: str, ticks: int) -> None:
    expected = [f"{number} " * 40 for number in range(1500)]
    async with world() as here:
        source, _, _ = await begin(here)
        stream, read = await reader(here, where), list[str]()
        runs, waiting = stream.runs(), expected.copy()
        while len(read) < len(expected):
            step = asyncio.ensure_future(anext(runs))
            for _ in range(ticks):
                await asyncio.sleep(0)
            source.put(*waiting[:100])
            del waiting[:100]
            for _ in range(ticks):
                await asyncio.sleep(0)
            step.cancel()
            await asyncio.wait({step})
            if not step.cancelled():
                read += step.result()
            await asyncio.sleep(0.01)
            if not waiting and len(read) < len(expected):
                read += await anext(runs)
            assert read == expected[: len(read)]
        source.finish()
        assert [run async for run in runs] == []


@pytest.mark.rule("END-1", "P3")
@WHERE
@in_virtual_time
async def test_the_last_run_comes_before_the_error(where: str) -> None:
    async with world() as here:
        source, _, _ = await begin(here, "a")
        stream = await reader(here, where)
        source.put("b")
        source.finish(RuntimeError("no tokens"))
        await asyncio.sleep(1)
        runs = stream.runs()
        assert await anext(runs) == ["a", "b"]
        for _ in range(2):
            with pytest.raises(StreamFailedError):
                await anext(runs)
        with pytest.raises(StreamFailedError):
            await anext(stream)
        assert stream.offset == 2


@pytest.mark.rule("P7")
@WHERE
@pytest.mark.parametrize(
    "chunks",
    [
        [""] * 5000,
        ["x" * 40] * 5000,
        ["\N{ROCKET}" * 1000] * 200,
        ["x" * (STEP - CHUNK_COST)] * 3,
        ["a", "x" * (STEP - CHUNK_COST), "b", "x" * 1_000_000, "c", "", "x" * 100_000],
    ],
    ids=["empty", "short", "rockets", "full", "large"],
)
@in_virtual_time
async def test_a_step_is_bounded_and_no_smaller_than_it_must_be(
    where: str, chunks: list[str]
) -> None:
    async with world() as here:
        source, _, _ = await begin(here, *chunks)
        stream = await reader(here, where)
        source.finish()
        runs = [run async for run in stream.runs()]
        assert [chunk for run in runs for chunk in run] == chunks
        assert all(run and fits(run) for run in runs)
        if where == "beside":
            for run, following in itertools.pairwise(runs):
                assert not fits([*run, following[0]])


@WHERE
@in_virtual_time
async def test_the_event_loop_has_its_turn_between_full_steps(where: str) -> None:
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with world() as here:
        source, _, _ = await begin(here, *["x" * 8000] * 80)
        stream = await reader(here, where)
        other = asyncio.create_task(others())
        seen, runs = [], stream.runs()
        for _ in range(10):
            assert len(await anext(runs)) == 8
            seen.append(turns)
        other.cancel()
        assert len(set(seen)) == 10
        source.finish()


@pytest.mark.rule("P7")
@in_virtual_time
async def test_text_that_is_trimmed_meanwhile_is_an_error_after_what_was_taken() -> None:
    async with world() as here:
        source, stream, _ = await begin(here, "a", "b", "c", buffer_limit=1000)
        assert await anext(stream) == "a"
        source.put(*["x" * 100] * 50)
        await asyncio.sleep(1)
        runs = stream.runs()
        assert await anext(runs) == ["b", "c"]
        with pytest.raises(OffsetOutOfRangeError):
            await anext(runs)
        assert stream.offset == 3
        source.finish()


@WHERE
@in_virtual_time
async def test_text_before_the_offset_is_in_no_run(where: str) -> None:
    async with world() as here:
        source, _, generation = await begin(here, "ab", "cd", "ef")
        context = here.contexts[0] if where == "beside" else here.instance()[0]
        cut, ahead = [await context.resume_existing_stream(ID, skip) for skip in (3, 7)]
        assert cut
        assert ahead
        await asyncio.sleep(1)
        assert await anext(cut.runs()) == ["d", "ef"]
        assert cut.last_event_id == f"{generation}-3"
        source.put("g", "hi")
        source.finish()
        assert [run async for run in ahead.runs()] == [["hi"]]
        assert (ahead.offset, ahead.last_event_id) == (9, f"{generation}-5")


@WHERE
@in_virtual_time
async def test_a_stream_that_was_left_has_no_more_runs(where: str) -> None:
    async with world() as here:
        source, _, _ = await begin(here, "a", *["x" * 8000] * 10)
        stream = await reader(here, where)
        runs = stream.runs()
        assert await anext(stream) == "a"
        await stream.aclose()
        source.put("b")
        with pytest.raises(StopAsyncIteration):
            await anext(runs)


@WHERE
@in_virtual_time
async def test_each_chunk_goes_to_one_of_those_who_share_a_stream(where: str) -> None:
    expected = [str(number) for number in range(3000)]

    async def take(stream: ResumableStream) -> list[list[str]]:
        return [run async for run in stream.runs()]

    async with world() as here:
        source, _, _ = await begin(here)
        stream = await reader(here, where)
        takers = [asyncio.create_task(take(stream)) for _ in range(3)]
        for at in range(0, len(expected), 500):
            source.put(*expected[at : at + 500])
            await asyncio.sleep(0.01)
        source.finish()
        runs = [run for taken in await asyncio.gather(*takers) for run in taken]
        assert all(runs)
        assert sorted((chunk for run in runs for chunk in run), key=int) == expected


@WHERE
@in_virtual_time
async def test_runs_hold_their_stream(where: str) -> None:
    async with world() as here:
        source, _, _ = await begin(here, "a")
        runs = (await reader(here, where)).runs()
        gc.collect()
        await asyncio.sleep(1)
        source.put("b")
        source.finish()
        assert [chunk async for run in runs for chunk in run] == ["a", "b"]
