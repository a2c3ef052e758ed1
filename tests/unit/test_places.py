"""Offsets and event ids, beside the producer and on another instance."""

from __future__ import annotations

import asyncio

import pytest

from resumable_stream import (
    InvalidEventIdError,
    InvalidOffsetError,
    ResumableStream,
    StreamHistoryChangedError,
)
from support.listening import begin, join
from support.virtual_time import in_virtual_time
from support.world import rest, world


@pytest.mark.rule("P1", "REQ-4")
@in_virtual_time
async def test_an_offset_ahead_waits_for_the_text() -> None:
    async with world() as here:
        source, _ = await begin(here, "a😀b")
        elsewhere, _ = here.instance()
        streams = [await join(context, 8) for context in (here.contexts[0], elsewhere)]
        source.put("c", "", "de", "f😀g", "h")
        source.finish()
        for stream in streams:
            assert stream.offset == 8
            assert stream.last_event_id is None
            assert await rest(stream) == ["😀g", "h"]


@pytest.mark.rule("P1")
@pytest.mark.parametrize("remote", [False, True])
@in_virtual_time
async def test_half_a_pair_is_an_error_now_and_later(*, remote: bool) -> None:
    async with world() as here:
        source, _ = await begin(here, "a😀b")
        elsewhere, _ = here.instance()
        context = elsewhere if remote else here.contexts[0]
        with pytest.raises(InvalidOffsetError, match="surrogate pair"):
            await join(context, 2)
        ahead = await join(context, 6)
        source.put("c😀d")
        with pytest.raises(InvalidOffsetError, match="surrogate pair"):
            await anext(ahead)


@pytest.mark.rule("P1")
@in_virtual_time
async def test_event_ids_name_the_next_chunk_everywhere() -> None:
    async with world() as here:
        source, local = await begin(here, "aé", "", "b😀", "c")
        elsewhere, _ = here.instance()
        remote = await join(elsewhere)
        for stream in (local, remote):
            assert stream.last_event_id is not None
            assert stream.last_event_id.endswith("-0")
            assert [await anext(stream) for _ in range(3)] == ["aé", "", "b😀"]
            for context in here.contexts:
                again = await join(context, last_event_id=stream.last_event_id)
                assert again.offset == stream.offset == 5
                assert again.last_event_id == stream.last_event_id
                assert await anext(again) == "c"
        generation = str(remote.last_event_id).partition("-")[0]
        for context in here.contexts:
            with pytest.raises(StreamHistoryChangedError, match="history"):
                await join(context, last_event_id="77-0")
            with pytest.raises(InvalidEventIdError, match="beyond"):
                await join(context, last_event_id=f"{generation}-99")
            for hostile in ("", "1", "-1", "1-", "a-b", "01-1", "1-01", "9" * 30 + "-1", "1-1\n"):
                with pytest.raises(InvalidEventIdError):
                    await join(context, last_event_id=hostile)
        source.finish()


@pytest.mark.rule("P1")
@in_virtual_time
async def test_timed_out_reads_lose_nothing() -> None:
    async with world() as here:
        source, local = await begin(here)
        elsewhere, _ = here.instance()
        remote = await join(elsewhere)

        async def feed() -> None:
            for number in range(300):
                source.put(str(number))
                await asyncio.sleep(0.01)
            source.finish()

        async def impatient(stream: ResumableStream) -> list[str]:
            got = []
            while True:
                try:
                    got.append(await asyncio.wait_for(anext(stream), 0.003))
                except TimeoutError:
                    continue
                except StopAsyncIteration:
                    return got

        _, here_got, there_got = await asyncio.gather(feed(), impatient(local), impatient(remote))
        assert here_got == there_got == [str(number) for number in range(300)]
