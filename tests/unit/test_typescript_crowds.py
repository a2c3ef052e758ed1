"""Very many TypeScript listeners, and none at all."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import pytest

from resumable_stream import StreamSupersededError
from resumable_stream._producing.v1_followers import MAX_OF_STREAM
from support.typescript_listeners import (
    COUNT,
    PATIENCE,
    listening,
    nobody_counts,
    told,
    vanish,
)
from support.virtual_time import in_virtual_time
from support.world import ID, LEASE, NAMES, SENTINEL, Peer, Source, begin, rest, world

if TYPE_CHECKING:
    from collections.abc import Sequence


@pytest.mark.rule("V1-7", "V1-8", "P7")
@in_virtual_time
async def test_made_up_listeners_are_sent_nothing() -> None:
    async with world() as here:
        source, _, _ = await begin(here, "a")
        await told(here, *(f"made-up-{number}" for number in range(3000)))
        peer = await listening(here)
        await told(here, *(f"made-up-too-{number}" for number in range(3000)))
        await asyncio.sleep(1)
        source.put("b")
        await asyncio.sleep(2)
        assert peer.texts() == [*"ab"]
        assert {to for to, _ in here.brokers[0].published} == {NAMES.chunk("peer")}


@pytest.mark.rule("V1-8", "P7")
@pytest.mark.parametrize("seen", [True, False])
@in_virtual_time
async def test_the_listeners_of_a_stream_are_bounded(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, *, seen: bool
) -> None:
    if not seen:
        nobody_counts(monkeypatch)
    async with world() as here:
        source, _, _ = await begin(here, "a")
        peers = [await Peer(here, f"peer-{number}").listen() for number in range(MAX_OF_STREAM + 9)]
        with caplog.at_level(logging.WARNING, "resumable_stream"):
            await told(here, *(peer.id for peer in peers))
            await asyncio.sleep(1)
        assert [bool(peer.texts()) for peer in peers] == [True] * MAX_OF_STREAM + [False] * 9
        assert len([one for one in caplog.records if one.levelno == logging.WARNING]) == 1
        source.put("b")
        await asyncio.sleep(1)
        assert [peer.texts() for peer in peers[:MAX_OF_STREAM]] == [["b"]] * MAX_OF_STREAM
        if seen:
            await vanish(peers[0])
            await asyncio.sleep(PATIENCE)
            assert (await listening(here, "late")).texts() == ["ab"]


@pytest.mark.rule("V1-8", "P7")
@in_virtual_time
async def test_the_listeners_of_an_instance_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resumable_stream._producing.v1_audience.MAX_OF_INSTANCE", 3)
    async with world() as here:
        source, stream, _ = await begin(here, "a")
        more: Any = [await Peer(here, f"more-{number}").listen() for number in range(3)]
        other = await here.contexts[0].create_new_resumable_stream("other", Source("a"))
        peers = [await listening(here, f"peer-{number}") for number in range(2)]
        await told(here, *(peer.id for peer in more), stream_id="other")
        await asyncio.sleep(1)
        assert [bool(peer.texts()) for peer in (*peers, *more)] == [True] * 3 + [False] * 2
        source.finish()
        await rest(stream)
        await asyncio.sleep(1)
        await told(here, more[1].id, stream_id="other")
        await asyncio.sleep(1)
        assert more[1].texts(), "room was made by the stream that has ended"
        await other.aclose()


@pytest.mark.rule("V1-8", "P6")
@in_virtual_time
async def test_many_listeners_are_served_in_small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    async with world() as here:
        source, _, _ = await begin(here, "a")
        peers = [await Peer(here, f"peer-{number}").listen() for number in range(1000)]
        await told(here, *(peer.id for peer in peers))
        await asyncio.sleep(1)
        broker, batches = here.brokers[0], list[int]()
        publish_many = broker.publish_many

        async def watched(messages: Sequence[tuple[str, bytes]]) -> None:
            batches.append(len(messages))
            await publish_many(messages)

        monkeypatch.setattr(broker, "publish_many", watched)
        source.put("b", "c")
        await asyncio.sleep(1)
        assert ["".join(peer.texts()) for peer in peers] == ["abc"] * 1000
        assert max(batches) <= 256
        assert sum(batches) == 2000


@pytest.mark.rule("V1-8", "P7")
@in_virtual_time
async def test_a_superseded_stream_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resumable_stream._producing.v1_audience.MAX_OF_INSTANCE", 1)
    async with world() as here:
        _, stream, _ = await begin(here, "a")
        assert (await listening(here)).texts() == ["a"]
        await here.contexts[0].create_new_resumable_stream("other", Source("a"))
        late = await Peer(here, "late").listen()
        await here.raw.set(SENTINEL, str(77 << 20), ttl=60)
        here.brokers[0].reconnect()
        with pytest.raises(StreamSupersededError):
            await rest(stream)
        await asyncio.sleep(1)
        await told(here, "late", stream_id="other")
        await asyncio.sleep(1)
        assert late.texts() == ["a"]


@pytest.mark.rule("P10")
@in_virtual_time
async def test_a_request_that_comes_too_late_starts_nothing() -> None:
    async with world() as here:
        await begin(here, "a")
        running: Any = here.contexts[0]._binding.instance
        await running.producers[ID]._service.opened().aclose()
        await told(here, "late")
        await asyncio.sleep(0.01)
        assert not any("presence" in task.get_name() for task in asyncio.all_tasks())


@pytest.mark.rule("V1-8", "V1-1")
@in_virtual_time
async def test_a_newcomer_does_not_wait_for_the_text_of_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with world() as here:
        await begin(here, *["x" * 100_000] * 20)
        publish_many = here.brokers[0].publish_many

        async def slowly(messages: Sequence[tuple[str, bytes]]) -> None:
            await asyncio.sleep(0.1)
            await publish_many(messages)

        monkeypatch.setattr(here.brokers[0], "publish_many", slowly)
        peers = [await Peer(here, f"peer-{number}").listen() for number in range(50)]
        await told(here, *(peer.id for peer in peers))
        await asyncio.sleep(2)
        late = await listening(here, "late")
        await asyncio.sleep(0.5)
        assert late.texts()
        assert not all(peer.texts() for peer in peers)
        await asyncio.sleep(100)
        assert "x" * 100_000 in "".join(late.texts())


@pytest.mark.rule("P8")
@in_virtual_time
async def test_without_typescript_listeners_nobody_is_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[object] = []

    async def count(_self: Any, channels: Sequence[str]) -> None:
        asked.append(channels)

    monkeypatch.setattr(COUNT, count)
    async with world() as here:
        source, _, _ = await begin(here, "a")
        context, _ = here.instance()
        reader = await context.resume_existing_stream(ID)
        await asyncio.sleep(2 * LEASE)
        source.finish()
        assert await rest(reader) == ["a"]
        assert asked == []
