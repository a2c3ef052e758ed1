"""A producer that was taken for dead and does not know it: what it says, and who is beside it."""

from __future__ import annotations

import pytest

from support.journals import ending_with, journaled
from support.virtual_time import in_virtual_time
from support.world import ID, SENTINEL, Source, rest, world


@pytest.mark.rule("P1", "JNL-7")
@in_virtual_time
async def test_a_place_in_its_successors_text_is_looked_for_elsewhere() -> None:
    async with world() as here:
        context, broker, _ = journaled(here, "exit")
        source = Source("old")
        await context.create_new_resumable_stream(ID, source)
        broker.keys_away = True
        await here.raw.delete(SENTINEL)
        other, _, _ = journaled(here, "exit")
        stream = await other.create_new_resumable_stream(ID, ending_with("a", "b"))
        assert await anext(stream) == "a"
        place = stream.last_event_id
        assert await rest(stream) == ["b"]
        broker.keys_away = False
        again = await context.resume_existing_stream(ID, last_event_id=place)
        assert await rest(again) == ["b"]
        source.finish()
