"""The stages of a producer's life, and what each releases: in isolation, and in whole runs."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from resumable_stream import StreamExistsError, StreamSupersededError
from resumable_stream._producing.life import Life, Stage
from support.virtual_time import in_virtual_time
from support.world import ID, SENTINEL, Source, rest, world

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from support.world import World

MILESTONES = {
    Stage.LISTENING: "",
    Stage.RUNNING: "",
    Stage.TELLING: "",
    Stage.RECORDING: "stored",
    Stage.SERVING: "stored settled",
    Stage.DRAINED: "stored settled drained",
    Stage.PARTING: "stored settled drained",
    Stage.CUT_OFF: "stored settled drained",
    Stage.RELEASED: "stored settled drained",
}


def reached(life: Life) -> str:
    names = ("stored", "settled", "drained")
    return " ".join(name for name in names if getattr(life, name).done())


@pytest.mark.parametrize("stage", Stage)
@in_virtual_time
async def test_a_stage_lets_go_on_what_waits_for_it_or_for_one_before(stage: Stage) -> None:
    life = Life()
    life.reach(stage)
    assert (life.stage, reached(life)) == (stage, MILESTONES[stage])


@in_virtual_time
async def test_who_waits_goes_on_with_the_stage_and_who_comes_later_does_not_wait() -> None:
    life = Life()
    early = life.settled
    assert life.settled is early
    life.reach(Stage.RECORDING)
    assert not early.done()
    life.reach(Stage.CUT_OFF)
    assert early.done()
    assert life.drained.done()


@in_virtual_time
async def test_no_stage_comes_back() -> None:
    life = Life()
    for before, after in pairwise(Stage):
        life.reach(after)
        life.reach(before)
        assert (life.stage, reached(life)) == (after, MILESTONES[after])


async def ends_by_itself(here: World, **options: Any) -> None:
    context, _ = here.instance(**options)
    source = Source("a")
    source.finish()
    await rest(await context.create_new_resumable_stream(ID, source))
    await asyncio.sleep(60)


async def ends_without_a_grace(here: World) -> None:
    await ends_by_itself(here, grace=0)


async def is_superseded(here: World) -> None:
    context, broker = here.instance()
    stream = await context.create_new_resumable_stream(ID, Source("a"))
    await here.raw.set(SENTINEL, str(77 << 20), ttl=60)
    broker.reconnect()
    with pytest.raises(StreamSupersededError):
        await rest(stream)
    await asyncio.sleep(60)


async def is_closed_with_its_context(here: World) -> None:
    context, _ = here.instance()
    await context.create_new_resumable_stream(ID, Source("a"))
    await asyncio.sleep(0.1)
    await context.aclose(0)


async def finds_its_claim_taken(here: World) -> None:
    context, _ = here.instance()
    await here.raw.set(SENTINEL, str(77 << 20), ttl=60)
    with pytest.raises(StreamExistsError):
        await context.create_new_resumable_stream(ID, Source("a"))


async def has_its_tasks_cancelled(here: World) -> None:
    context, _ = here.instance()
    await context.create_new_resumable_stream(ID, Source("a"))
    await asyncio.sleep(0.1)
    work(here).cancel()
    await asyncio.sleep(60)


async def has_its_tasks_cancelled_at_birth_and_then_again(here: World) -> None:
    context, _ = here.instance()
    await context.create_new_resumable_stream(ID, Source("a"))
    first = work(here)
    first.cancel()
    first.add_done_callback(lambda _: work(here).cancel())
    await asyncio.sleep(60)


def work(here: World) -> asyncio.Task[None]:
    running: Any = here.contexts[0]._binding.instance
    task: asyncio.Task[None] = running.producers[ID]._work
    return task


@pytest.mark.parametrize(
    ("life", "stages"),
    [
        (ends_by_itself, "RUNNING TELLING RECORDING SERVING DRAINED PARTING RELEASED"),
        (ends_without_a_grace, "RUNNING TELLING RECORDING SERVING DRAINED RELEASED"),
        (is_superseded, "RUNNING TELLING RECORDING SERVING DRAINED RELEASED"),
        (is_closed_with_its_context, "RUNNING TELLING RECORDING SERVING DRAINED RELEASED"),
        (finds_its_claim_taken, "RELEASED"),
        (has_its_tasks_cancelled, "RUNNING TELLING RECORDING SERVING RELEASED"),
        (has_its_tasks_cancelled_at_birth_and_then_again, "RUNNING CUT_OFF"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
@in_virtual_time
async def test_a_producer_goes_through_its_stages_in_order(
    life: Callable[[World], Awaitable[None]], stages: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Stage] = []
    reach = Life.reach

    def spy(life: Life, stage: Stage) -> None:
        if stage is not life.stage:
            seen.append(stage)
        reach(life, stage)

    monkeypatch.setattr(Life, "reach", spy)
    async with world() as here:
        await life(here)
        assert " ".join(stage.name for stage in seen) == stages
