"""A page that only knows its conversation finds the newest stream, and one runs at a time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from resumable_stream import Conversations, InvalidSettingError, InvalidStreamIdError, Turn
from support.virtual_time import in_virtual_time
from support.world import Source, rest, world


@in_virtual_time
async def test_the_newest_stream_is_found_on_every_instance() -> None:
    async with world() as here:
        contexts = [here.instance()[0] for _ in range(2)]
        one, other = (Conversations(context) for context in contexts)
        assert await other.latest("chat") is None
        turn = await one.begin("chat")
        assert turn.is_new
        source = Source("a")
        stream = await contexts[0].create_new_resumable_stream(turn.stream_id, source)
        assert await other.latest("chat") == turn.stream_id
        assert await other.begin("chat") == Turn(turn.stream_id, is_new=False)
        assert await other.latest("another chat") is None
        source.finish()
        assert await rest(stream) == ["a"]
        await asyncio.sleep(1)
        assert await one.latest("chat") == turn.stream_id
        following = await other.begin("chat", "mine")
        assert following == Turn("mine", is_new=True)
        assert await one.latest("chat") == "mine"


@in_virtual_time
async def test_of_many_callers_one_begins() -> None:
    async with world() as here:
        contexts = [here.instance()[0] for _ in range(5)]
        turns = await asyncio.gather(
            *(Conversations(context).begin("chat") for context in contexts for _ in range(4))
        )
        assert sum(turn.is_new for turn in turns) == 1
        assert len({turn.stream_id for turn in turns}) == 1


@pytest.mark.parametrize("fault", ["lose_replies", "lose_writes"])
@in_virtual_time
async def test_a_lost_reply_begins_no_second_stream(fault: str) -> None:
    async with world() as here:
        context, broker = here.instance()
        setattr(broker, fault, 1)
        turn = await Conversations(context).begin("chat")
        assert turn.is_new
        assert await Conversations(context).latest("chat") == turn.stream_id


@in_virtual_time
async def test_a_stream_that_never_begins_gives_way(monkeypatch: pytest.MonkeyPatch) -> None:
    async with world() as here:
        now = [2_000_000_000.0]
        monkeypatch.setattr("resumable_stream._protocol.sentinel.wall_clock", lambda: now[0])
        context, _ = here.instance()
        conversations = Conversations(context, patience=10)
        turn = await conversations.begin("chat")
        assert await conversations.begin("chat") == Turn(turn.stream_id, is_new=False)
        now[0] += 11
        assert (await conversations.begin("chat")).is_new


@pytest.mark.parametrize("fault", [None, "lose_replies", "lose_writes"])
@in_virtual_time
async def test_a_conversation_can_forget_its_stream(fault: str | None) -> None:
    async with world() as here:
        context, broker = here.instance()
        conversations = Conversations(context)
        assert await conversations.forget("chat") is None
        turn = await conversations.begin("chat")
        if fault is not None:
            setattr(broker, fault, 1)
        assert await conversations.forget("chat") == turn.stream_id
        assert await conversations.latest("chat") is None
        assert await conversations.forget("chat") is None
        assert (await conversations.begin("chat")).is_new


@in_virtual_time
async def test_what_cannot_be_read_is_replaced() -> None:
    async with world() as here:
        context, _ = here.instance()
        await here.raw.set("resumable-stream:rs:conversation:chat", "[]", ttl=60)
        assert await Conversations(context).latest("chat") is None
        assert (await Conversations(context).begin("chat")).is_new


@in_virtual_time
async def test_invalid_input_is_named() -> None:
    async with world() as here:
        context, _ = here.instance()
        bad: Any
        for bad in (0, True, 1.5, "3"):
            with pytest.raises(InvalidSettingError, match="ttl"):
                Conversations(context, ttl=bad)
        with pytest.raises(InvalidSettingError, match="patience"):
            Conversations(context, patience=-1)
        for bad in ("", 3, "x" * 513):
            with pytest.raises(InvalidStreamIdError):
                await Conversations(context).latest(bad)
            with pytest.raises(InvalidStreamIdError):
                await Conversations(context).begin("chat", bad)
