"""Whatever becomes of a producer's tasks, its stream ends truthfully and in time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from resumable_stream import (
    EndStatus,
    ProducerLostError,
    ResumableStream,
    StreamEnd,
    StreamState,
    closing_status,
    create_resumable_stream_context,
)
from support.virtual_time import in_virtual_time, loop_time
from support.world import ID, Source, rest, world

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


def tasks_of(*kinds: str) -> list[asyncio.Task[object]]:
    """Return the producer's tasks of these kinds; the empty kind is its main task."""
    name = f"resumable-stream producer {ID!r}"
    names = {f"{name} {kind}".strip() for kind in kinds}
    return [task for task in asyncio.all_tasks() if task.get_name() in names]


def everything() -> list[asyncio.Task[object]]:
    return [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]


@pytest.mark.rule("END-8", "P3", "P4", "P9", "P10")
@pytest.mark.parametrize("ticks", [0, 1, 2, 3, 5, 50])
@pytest.mark.parametrize(
    "victims",
    [
        ("", "source"),
        ("source",),
        ("",),
        ("lease",),
        ("", "lease"),
        ("source", "lease"),
        ("", "source", "lease"),
    ],
    ids=lambda victims: "+".join(kind or "run" for kind in victims),
)
@in_virtual_time
async def test_tasks_that_a_host_cancels_end_the_stream_as_lost(
    victims: tuple[str, ...], ticks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Each lease is renewed alone, as on a backend that cannot renew many.
    monkeypatch.setattr("resumable_stream._renewing.Renewals", type("No", (), {}))
    async with world() as here:
        context, broker = here.instance()
        other, _ = here.instance()
        ends: list[StreamEnd] = []
        source = Source("a")
        stream = await context.create_new_resumable_stream(ID, source, on_end=ends.append)
        for _ in range(ticks):
            await asyncio.sleep(0)
        if "lease" in victims:
            # The lease has a task only while a renewal is under way: let one wait for its answer.
            broker.running.clear()
            broker.reconnect()
            await asyncio.sleep(0)
        found = tasks_of(*victims)
        assert len(found) == len(victims)
        for task in found:
            task.cancel()
        broker.running.set()
        began = loop_time()
        async with asyncio.timeout(10):
            with pytest.raises(ProducerLostError):
                await rest(stream)
            assert (await context.wait_for_end(ID)).state is StreamState.LOST
            assert await context.cancel_stream(ID) == "already_over"
        assert loop_time() - began < 3
        assert (await other.stream_status(ID)).state is StreamState.LOST
        assert [end.status for end in ends] == ["lost"]
        await context.aclose(0)
        assert not broker._subscriptions


@pytest.mark.rule("P3", "P4")
@in_virtual_time
async def test_a_reader_elsewhere_learns_at_once_that_the_tasks_are_gone() -> None:
    async with world() as here:
        context, _ = here.instance()
        other, _ = here.instance()
        await context.create_new_resumable_stream(ID, Source("a"))
        remote = await other.resume_existing_stream(ID)
        assert isinstance(remote, ResumableStream)
        assert await anext(remote) == "a"
        for task in tasks_of("", "source", "lease"):
            task.cancel()
        began = loop_time()
        with pytest.raises(ProducerLostError):
            await anext(remote)
        assert loop_time() - began < 1


@pytest.mark.rule("P3", "P4", "P10")
@in_virtual_time
async def test_a_host_that_cancels_all_again_and_again_is_survived() -> None:
    async with world() as here:
        context, _ = here.instance()
        stream = await context.create_new_resumable_stream(ID, Source("a"))
        for _ in range(20):
            for task in everything():
                task.cancel()
            await asyncio.sleep(0)
        async with asyncio.timeout(5):
            with pytest.raises(ProducerLostError):
                await rest(stream)
            await context.wait_for_end(ID)
            await context.aclose(0)


@pytest.mark.rule("P3", "P10")
@pytest.mark.parametrize("ticks", range(12))
@in_virtual_time
async def test_tasks_that_are_cancelled_at_the_end_leave_the_ending_as_it_was(ticks: int) -> None:
    async with world() as here:
        context, broker = here.instance(grace=0)
        source = Source("a")
        stream = await context.create_new_resumable_stream(ID, source)
        await asyncio.sleep(0.1)
        source.finish()
        for _ in range(ticks):
            await asyncio.sleep(0)
        ending = context._binding.instance.local(ID) if context._binding.instance else None
        over = ending is None or ending.log.ending is not None
        for task in everything():
            task.cancel()
        await asyncio.sleep(4)
        if over:
            assert await rest(stream) == ["a"]
            assert (await context.stream_status(ID)).state is StreamState.COMPLETED
        else:
            with pytest.raises(ProducerLostError):
                await rest(stream)
        assert not broker._subscriptions


@pytest.mark.rule("P3")
def test_tasks_of_a_loop_that_ends_at_the_start_are_told_lost() -> None:
    streams: list[ResumableStream] = []
    ends: list[StreamEnd] = []

    async def main() -> None:
        context = create_resumable_stream_context("memory://ends-at-the-start")
        source = Source("a")
        streams.append(await context.create_new_resumable_stream(ID, source, on_end=ends.append))

    asyncio.run(main())
    with asyncio.Runner() as runner, pytest.raises(ProducerLostError):
        runner.run(rest(streams[0]))


@in_virtual_time
async def test_a_source_whose_task_is_cancelled_learns_that_it_is_lost() -> None:
    learnt: list[EndStatus | None] = []

    async def source() -> AsyncIterator[str]:
        yield "a"
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            learnt.append(closing_status())
            raise

    async with world() as here:
        context, _ = here.instance()
        await context.create_new_resumable_stream(ID, source)
        await asyncio.sleep(0.1)
        for task in tasks_of("source"):
            task.cancel()
        assert (await context.wait_for_end(ID)).state is StreamState.LOST
        assert learnt == ["lost"]


@pytest.mark.rule("P9", "P10")
@in_virtual_time
async def test_a_source_that_swallows_its_cancellation_by_a_host_goes_on() -> None:
    reached = asyncio.Event()

    async def stubborn() -> AsyncIterator[str]:
        yield "a"
        try:
            await reached.wait()
        except asyncio.CancelledError:
            yield "b"

    async with world() as here:
        context, _ = here.instance()
        stream = await context.create_new_resumable_stream(ID, stubborn)
        await asyncio.sleep(0.1)
        for task in tasks_of("source"):
            task.cancel()
        assert await rest(stream) == ["a", "b"]


@pytest.mark.rule("P3")
@pytest.mark.parametrize("how", ["broker answers", "broker stands still"])
@in_virtual_time
async def test_an_owner_is_told_whose_stream_is_cut_off_just_before(how: str) -> None:
    async with world() as here:
        context, broker = here.instance()
        source = Source("a")
        ends: list[StreamEnd] = []
        stream = await context.create_new_resumable_stream(ID, source, on_end=ends.append)
        broker.running.clear()
        source.finish()
        assert await rest(stream) == ["a"]
        for task in tasks_of(""):
            task.cancel()
        if how == "broker answers":
            broker.running.set()
        await asyncio.sleep(1.5)
        assert [(end.status, end.text) for end in ends] == [("completed", "a")]
        broker.running.set()
