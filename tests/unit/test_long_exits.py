"""A long text that is to be kept at its end is written before that, too."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from resumable_stream import ProducerLostError
from resumable_stream._protocol.sentinel import Running
from support.journals import died, generation, journaled, kept, outcome
from support.virtual_time import in_virtual_time
from support.world import ID, LEASE, OUTCOME, Source, rest, world

CHUNK = "x" * 32 * 1024
MUCH = 40  # chunks, of which each is a block


@pytest.mark.rule("JNL-3", "JNL-4", "P12")
@in_virtual_time
async def test_its_end_waits_for_the_rest_alone() -> None:
    async with world() as here:
        context, broker, notebook = journaled(here, "exit")
        source = Source(*[CHUNK] * MUCH)
        stream = await context.create_new_resumable_stream(ID, source)
        run = await generation(here)
        await asyncio.sleep(60)
        texts, ends = await kept(here, run)
        assert len("".join(texts)) >= 32 * len(CHUNK)
        assert not ends
        assert [key for key, _ in broker.writes].count(OUTCOME) == 1
        before = notebook.appends
        source.put(*["y"] * 10)
        await asyncio.sleep(60)
        assert notebook.appends == before, "what is not much waits"
        source.finish()
        assert await rest(stream) == [CHUNK] * MUCH + ["y"] * 10
        await asyncio.sleep(1)
        texts, ends = await kept(here, run)
        assert "".join(texts) == CHUNK * MUCH + "y" * 10
        assert ends == ["completed"]
        assert (await outcome(here)).kept_until


@pytest.mark.rule("JNL-3", "P12")
@in_virtual_time
async def test_what_was_written_outlives_its_producer() -> None:
    async with world() as here:
        context, broker, notebook = journaled(here, "exit")
        await context.create_new_resumable_stream(ID, Source(*[CHUNK] * MUCH))
        await asyncio.sleep(1)
        broker.away = notebook.away = True
        await asyncio.sleep(2 * LEASE)
        late, _, _ = journaled(here, "exit")
        stream: Any = await late.resume_existing_stream(ID)
        assert [await anext(stream) for _ in range(32)] == [CHUNK] * 32
        with pytest.raises(ProducerLostError):
            await rest(stream)


@pytest.mark.rule("CNT-2")
@in_virtual_time
async def test_a_pointer_leads_to_it_once_it_has_what_is_continued() -> None:
    async with world() as here:
        lost = await died(here, "a", "b", durability="async")
        context, _, notebook = journaled(here, "exit")
        seen: list[Running | None] = []

        async def look() -> None:
            seen.append(Running.decode(await here.raw.get(OUTCOME)))

        notebook.meanwhile = look
        more = Source(*[CHUNK] * MUCH)
        stream = await context.resumable_stream(ID, more, continue_lost=lambda _: more())
        assert stream is not None
        run = await generation(here)
        await asyncio.sleep(1)
        assert [one.generation for one in seen if one] == [lost] * len(seen)
        now = Running.decode(await here.raw.get(OUTCOME))
        assert now is not None
        assert now.generation == run
        texts, _ = await kept(here, run)
        assert "".join(texts).startswith("ab" + CHUNK)
        more.finish()
        assert len(await rest(stream)) == 2 + MUCH
