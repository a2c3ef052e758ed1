"""Listeners of the TypeScript package, seen from the wire."""

from __future__ import annotations

import asyncio

import pytest

from resumable_stream._protocol.wire import V1_END
from resumable_stream_memory._backend import MAX_MESSAGE_SIZE
from support.virtual_time import in_virtual_time
from support.world import (
    Peer,
    begin,
    rest,
    world,
)

V1_EMPTY = [""]


@pytest.mark.rule("V1-1", "P11")
@in_virtual_time
async def test_v1_listeners_get_text_as_typescript_sends_it() -> None:
    async with world() as here:
        source, stream, _ = await begin(here, "ab", "cd")
        peer = await Peer(here).listen()
        await peer.ask(version=1, skip=1)
        assert peer.texts() == ["bcd"]
        source.put("ef", "", "g")
        await asyncio.sleep(0.01)
        assert peer.texts() == ["ef", "", "g"]
        source.finish()
        assert await rest(stream) == ["ab", "cd", "ef", "", "g"]
        assert peer.texts() == [V1_END]


@pytest.mark.rule("V1-1")
@in_virtual_time
async def test_v1_listeners_are_acknowledged_without_text() -> None:
    async with world() as here:
        await begin(here)
        peer = await Peer(here).listen()
        await peer.ask(version=1)
        assert peer.texts() == V1_EMPTY


@pytest.mark.rule("V1-1")
@in_virtual_time
async def test_no_v1_text_reads_as_the_end() -> None:
    async with world() as here:
        source, _, _ = await begin(here, V1_END)
        peer = await Peer(here).listen()
        await peer.ask(version=1)
        source.put(V1_END)
        await asyncio.sleep(0.1)
        texts = peer.texts()
        assert V1_END not in texts
        assert "".join(texts) == 2 * V1_END


@pytest.mark.rule("V1-1")
@in_virtual_time
async def test_a_long_v1_replay_comes_in_messages_that_fit() -> None:
    async with world() as here:
        text = "0123456789é😀" * 300_000
        await begin(here, text[:1_000_000], text[1_000_000:], "end")
        peer = await Peer(here).listen()
        await peer.ask(version=1, skip=5)
        await asyncio.sleep(1)
        assert max(map(len, peer.messages)) <= MAX_MESSAGE_SIZE
        assert "".join(peer.texts()) == text[5:] + "end"


@pytest.mark.rule("V1-2")
@in_virtual_time
async def test_v1_offsets_are_javascript_slices() -> None:
    async with world() as here:
        source, _, _ = await begin(here, "a😀b")
        peer = await Peer(here).listen()
        for skip, reply in ((1, "😀b"), (2, "\ufffdb"), (3, "b"), (4, "")):
            await peer.ask(version=1, skip=skip)
            assert peer.texts() == [reply], skip
        ahead = await Peer(here, "ahead").listen()
        await ahead.ask(version=1, skip=6)
        source.put("c😀d", "e")
        await asyncio.sleep(0.1)
        assert "".join(ahead.texts()) == "\ufffdde"


@pytest.mark.rule("V1-3")
@in_virtual_time
async def test_v1_listeners_of_a_failed_source_end() -> None:
    async with world() as here:
        source, _, _ = await begin(here, "a")
        peer = await Peer(here).listen()
        await peer.ask(version=1)
        source.finish(ValueError("x"))
        await asyncio.sleep(0.1)
        assert peer.texts() == ["a", V1_END]


@in_virtual_time
async def test_v1_text_is_sent_again_if_it_surely_was_not() -> None:
    async with world() as here:
        source, _, _ = await begin(here, "a")
        peer = await Peer(here).listen()
        await peer.ask(version=1)
        here.brokers[0].away = True
        source.put("b", "c")
        await asyncio.sleep(5)
        here.brokers[0].reconnect()
        await asyncio.sleep(5)
        assert "".join(peer.texts()) == "abc"
