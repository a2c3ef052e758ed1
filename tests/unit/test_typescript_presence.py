"""TypeScript listeners that vanish, come back, or never existed."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import pytest

from resumable_stream import AccessDeniedError
from resumable_stream._protocol.wire import V1_END
from support.typescript_listeners import (
    A_LOOK,
    COUNT,
    PATIENCE,
    listening,
    nobody_counts,
    sent_to,
    told,
    vanish,
)
from support.virtual_time import in_virtual_time
from support.world import Peer, begin, rest, world

if TYPE_CHECKING:
    from collections.abc import Sequence


@pytest.mark.rule("V1-7", "P7")
@in_virtual_time
async def test_a_vanished_listener_costs_nothing_after_a_look() -> None:
    async with world() as here:
        source, stream, _ = await begin(here, "a")
        peer = await listening(here)
        assert peer.texts() == ["a"]
        await vanish(peer)
        await asyncio.sleep(A_LOOK)
        source.put(*"bcdef")
        await asyncio.sleep(1)
        assert sent_to(here) == ["a"]
        source.finish()
        assert await rest(stream) == [*"abcdef"]


@pytest.mark.rule("V1-7")
@in_virtual_time
async def test_a_listener_that_comes_back_goes_on_where_it_stood() -> None:
    async with world() as here:
        source, _, _ = await begin(here, "a")
        peer = await listening(here)
        await vanish(peer)
        await asyncio.sleep(A_LOOK)
        source.put(*"bc")
        await asyncio.sleep(PATIENCE - 4 * A_LOOK)
        await peer.listen()
        await asyncio.sleep(A_LOOK)
        source.put("d")
        source.finish()
        await asyncio.sleep(1)
        assert peer.texts() == [*"abcd", V1_END]


@pytest.mark.rule("V1-7", "P7", "P10")
@in_virtual_time
async def test_a_listener_that_stays_away_is_forgotten() -> None:
    async with world() as here:
        source, _, _ = await begin(here, "a")
        peer = await listening(here)
        await vanish(peer)
        await asyncio.sleep(PATIENCE)
        assert not any("presence" in task.get_name() for task in asyncio.all_tasks())
        await peer.listen()
        source.put("b")
        source.finish()
        await asyncio.sleep(PATIENCE)
        assert peer.texts() == ["a"]


@pytest.mark.rule("V1-7")
@in_virtual_time
async def test_nobody_is_given_up_while_the_broker_is_in_trouble() -> None:
    async with world() as here:
        source, _, _ = await begin(here, "a")
        peer = await listening(here)
        await vanish(peer)
        await asyncio.sleep(A_LOOK)
        here.brokers[0].away = True
        source.put("b")
        await asyncio.sleep(2 * PATIENCE)
        here.brokers[0].reconnect()
        await asyncio.sleep(A_LOOK)
        await peer.listen()
        await asyncio.sleep(A_LOOK)
        source.put("c")
        await asyncio.sleep(1)
        assert peer.texts()[-1] == "c"


@pytest.mark.rule("V1-7")
@pytest.mark.parametrize("trouble", ["a loss", "a publish that failed"])
@in_virtual_time
async def test_after_trouble_the_time_counts_from_the_beginning(trouble: str) -> None:
    async with world() as here:
        source, _, _ = await begin(here, "a")
        peer, other = await listening(here), await listening(here, "other")
        await vanish(peer)
        await asyncio.sleep(PATIENCE - 4 * A_LOOK)
        if trouble == "a loss":
            here.brokers[0].reconnect()
        else:
            here.brokers[0].lose_publishes = 1
            source.put("b")
        await asyncio.sleep(PATIENCE - 4 * A_LOOK)
        await peer.listen()
        await asyncio.sleep(A_LOOK)
        source.put("c")
        await asyncio.sleep(1)
        assert peer.texts()[-1] == "c"
        assert other.texts()[0] == "a"


@pytest.mark.rule("V1-7")
@in_virtual_time
async def test_a_look_that_takes_long_is_one_look() -> None:
    async with world() as here:
        source, _, _ = await begin(here, "a")
        peer = await listening(here)
        await vanish(peer)
        await asyncio.sleep(A_LOOK)
        for _ in range(2):
            here.brokers[0].running.clear()
            await asyncio.sleep(PATIENCE / 3)
            here.brokers[0].running.set()
            await asyncio.sleep(0.1)
        here.brokers[0].running.clear()
        await asyncio.sleep(PATIENCE / 4)
        await peer.listen()
        here.brokers[0].running.set()
        source.put("b")
        await asyncio.sleep(A_LOOK)
        assert peer.texts() == [*"ab"]


@pytest.mark.rule("V1-7")
@in_virtual_time
async def test_a_broker_that_does_not_see_the_producer_proves_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with world() as here:
        source, _, _ = await begin(here, "a")
        peer = await listening(here)

        async def count(channels: Sequence[str]) -> list[int]:
            return [0] * len(channels)

        monkeypatch.setattr(here.brokers[0], "count_subscribers", count)
        await asyncio.sleep(2 * PATIENCE)
        late = await listening(here, "late")
        source.put("b")
        await asyncio.sleep(1)
        assert peer.texts() == [*"ab"]
        assert late.texts() == [*"ab"]


@pytest.mark.rule("V1-7", "V1-1")
@in_virtual_time
async def test_a_newcomer_may_subscribe_a_moment_after_it_asked() -> None:
    async with world() as here:
        await begin(here, "a")
        await told(here, "peer")
        await asyncio.sleep(0.5)
        peer = await Peer(here).listen()
        await asyncio.sleep(0.1)
        assert peer.texts() == ["a"]


@pytest.mark.rule("V1-7", "P4")
@in_virtual_time
async def test_the_end_waits_for_nobody_who_has_gone() -> None:
    async with world() as here:
        source, _, _ = await begin(here, "a")
        gone, back, there = [await listening(here, name) for name in ("gone", "back", "there")]
        for peer in (gone, back):
            await vanish(peer)
        await asyncio.sleep(A_LOOK)
        source.put("b")
        await told(here, "made-up")
        await back.listen()
        before = asyncio.get_running_loop().time()
        source.finish()
        await here.contexts[0].aclose(60)
        assert asyncio.get_running_loop().time() < before + 1
        await asyncio.sleep(0.1)
        assert [peer.texts() for peer in (gone, back, there)] == [
            ["a"],
            ["a", "b", V1_END],
            ["a", "b", V1_END],
        ]


@pytest.mark.rule("V1-7", "BE-2")
@in_virtual_time
async def test_a_broker_that_does_not_say_is_asked_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with world() as here:
        source, stream, _ = await begin(here, "a")
        asked: list[Sequence[str]] = []

        async def refuse(channels: Sequence[str]) -> list[int]:
            asked.append(channels)
            raise AccessDeniedError("no permission to ask")

        monkeypatch.setattr(here.brokers[0], "count_subscribers", refuse)
        with caplog.at_level(logging.INFO, "resumable_stream"):
            peers = [await listening(here, f"peer-{number}") for number in range(3)]
            await vanish(peers[0])
            await asyncio.sleep(PATIENCE)
            source.put("b")
            source.finish()
            assert await rest(stream) == [*"ab"]
            await asyncio.sleep(0.1)
        assert [peer.texts() for peer in peers[1:]] == [[*"ab", V1_END]] * 2
        assert len(asked) == 1
        assert len([one for one in caplog.records if "no permission" in one.message]) == 1


@pytest.mark.rule("V1-7")
@pytest.mark.parametrize("lacks", ["method", "answer"])
@in_virtual_time
async def test_where_nobody_counts_everybody_is_served(
    monkeypatch: pytest.MonkeyPatch, lacks: str
) -> None:
    async def cannot_tell(_self: Any, _channels: Sequence[str]) -> None:
        return None

    if lacks == "method":
        nobody_counts(monkeypatch)
    else:
        monkeypatch.setattr(COUNT, cannot_tell)
    async with world() as here:
        source, _, _ = await begin(here, "a")
        await told(here, "made-up")
        peer = await listening(here)
        await asyncio.sleep(PATIENCE)
        source.put("b")
        await asyncio.sleep(0.1)
        assert peer.texts() == [*"ab"]
        assert sent_to(here, "made-up") == [*"ab"]
