from __future__ import annotations

import asyncio
from typing import Any

import pytest

from resumable_stream import (
    ProducerLostError,
    StreamSupersededError,
)
from resumable_stream._protocol.sentinel import generation_of
from resumable_stream._protocol.wire import RequestType
from resumable_stream._text.endings import Ending, Status
from support.virtual_time import in_virtual_time, loop_time
from support.world import (
    ID,
    LEASE,
    OUTCOME,
    SENTINEL,
    Peer,
    Source,
    claim_on,
    rest,
    text_of,
    world,
)

COMPLETED = Ending(Status.COMPLETED)


@pytest.mark.rule("SEN-2")
@in_virtual_time
async def test_sentinel_names_the_generation() -> None:
    async with world() as here:
        claim = claim_on(here.raw)
        assert await claim.take()
        value = await here.sentinel()
        assert value == str(claim.generation << 20)
        assert int(value) < 2**53


@pytest.mark.parametrize("hostile", ["9" * 5000, "9" * 17, "-5", "٣", "1.5", " 1", "done", ""])
def test_strange_sentinels_name_no_generation(hostile: str) -> None:
    assert generation_of(hostile) == 0


@pytest.mark.rule("SEN-3")
@in_virtual_time
async def test_lease_outlives_a_silent_source() -> None:
    async with world() as here:
        context, _ = here.instance()
        source = Source("a")
        stream = await context.create_new_resumable_stream(ID, source)
        await asyncio.sleep(20 * LEASE)
        assert await context.has_existing_stream(ID) is True
        assert await here.sentinel() is not None
        source.finish()
        assert await rest(stream) == ["a"]


@pytest.mark.rule("SEN-3")
@in_virtual_time
async def test_increments_of_typescript_peers_are_kept() -> None:
    async with world() as here:
        context, _ = here.instance()
        source = Source("a")
        stream = await context.create_new_resumable_stream(ID, source)
        value = int(await here.sentinel() or 0) + 3
        await here.raw.set(SENTINEL, str(value), ttl=10)
        await asyncio.sleep(2 * LEASE)
        assert await here.sentinel() == str(value)
        source.finish()
        assert await rest(stream) == ["a"]
        assert await here.sentinel() == "DONE"


@pytest.mark.rule("SEN-4", "P6")
@in_virtual_time
async def test_lost_sentinel_is_created_again_at_once() -> None:
    async with world() as here:
        context, broker = here.instance()
        source = Source("a")
        stream = await context.create_new_resumable_stream(ID, source)
        before = await here.sentinel()
        await asyncio.sleep(0.1)
        await here.raw.delete(SENTINEL)
        broker.reconnect()
        await asyncio.sleep(0.01)
        assert await here.sentinel() == before
        await here.raw.delete(SENTINEL)
        await asyncio.sleep(LEASE / 3 + 0.1)
        assert await here.sentinel() == before
        source.finish()
        assert await rest(stream) == ["a"]


@pytest.mark.rule("SEN-3")
@in_virtual_time
async def test_producers_that_start_together_do_not_renew_together() -> None:
    async with world() as here:
        context, broker = here.instance()
        source = Source("a")
        for number in range(50):
            await context.create_new_resumable_stream(f"{ID}-{number}", source)
        assert len(broker.writes) == 50
        await asyncio.sleep(LEASE / 3 * 0.6)
        assert 5 < len(broker.writes) - 50 < 45
        await asyncio.sleep(LEASE / 3 * 0.4 + 0.05)
        assert len(broker.writes) == 100
        await asyncio.sleep(LEASE / 3 + 0.05)
        assert len(broker.writes) == 150


@pytest.mark.rule("SEN-3")
@in_virtual_time
async def test_renewals_that_fall_due_together_are_sent_together() -> None:
    async with world() as here:
        context, broker = here.instance()
        times: set[float] = set()
        write = broker._write

        async def note_time(*arguments: Any) -> bool:
            times.add(loop_time())
            return await write(*arguments)

        for number in range(200):
            await context.create_new_resumable_stream(f"{ID}-{number}", Source("a"))
        patched: Any = broker
        patched._write = note_time
        await asyncio.sleep(LEASE / 3 + 0.05)
        assert len(broker.writes) == 400
        assert len(times) < 150
        assert sorted(times) == pytest.approx(
            [round(time / 0.025) * 0.025 for time in sorted(times)]
        )


@pytest.mark.rule("SEN-3")
@in_virtual_time
async def test_a_renewal_made_at_once_is_not_made_again_when_it_was_due() -> None:
    async with world() as here:
        context, broker = here.instance()
        await context.create_new_resumable_stream(ID, Source("a"))
        await asyncio.sleep(LEASE / 3 + 0.1)
        broker.writes.clear()
        broker.reconnect()
        await asyncio.sleep(LEASE / 3 - 0.1)
        assert len(broker.writes) == 1
        await asyncio.sleep(0.2)
        assert len(broker.writes) == 2


@pytest.mark.rule("P10")
@in_virtual_time
async def test_a_stream_that_has_ended_leaves_no_renewal_to_come() -> None:
    async with world() as here:
        context, _ = here.instance()
        source = Source("a")
        stream = await context.create_new_resumable_stream(ID, source)
        await asyncio.sleep(0.1)
        bound: Any = context._binding.instance
        assert bound.shared.ticks._due
        source.finish()
        assert await rest(stream) == ["a"]
        assert not bound.shared.ticks._due


@pytest.mark.rule("SEN-6")
@in_virtual_time
async def test_who_holds_the_lease_again_serves_at_once() -> None:
    async with world() as here:
        context, broker = here.instance()
        source = Source("a")
        await context.create_new_resumable_stream(ID, source)
        generation = generation_of(await here.sentinel() or "")
        peer = await Peer(here).listen(generation)
        await peer.ask(window=100)
        broker.keys_away = True
        await asyncio.sleep(LEASE)
        source.put("b")
        await asyncio.sleep(0.1)
        assert text_of(peer.live_frames(generation)) == ""
        broker.keys_away = False
        await asyncio.sleep(1.2)
        assert text_of(peer.live_frames(generation)) == "b"


@pytest.mark.rule("SEN-5", "P5")
@in_virtual_time
async def test_superseded_producer_stops_at_once() -> None:
    async with world() as here:
        context, broker = here.instance()
        other, _ = here.instance()
        source = Source("a")
        local = await context.create_new_resumable_stream(ID, source)
        remote = await other.resume_existing_stream(ID)
        successor = str(5 << 20)
        await here.raw.set(SENTINEL, successor, ttl=60)
        for stream in (local, remote):
            with pytest.raises(StreamSupersededError) as caught:
                await rest(stream)
            assert caught.value.offset == 1
            assert isinstance(caught.value, ProducerLostError)
        assert source.closed
        published = len(broker.published)
        source.put("b")
        await asyncio.sleep(LEASE)
        assert len(broker.published) == published
        assert await here.sentinel() == successor
        assert await here.raw.get(OUTCOME) is None


@pytest.mark.rule("SEN-6", "P5")
@in_virtual_time
async def test_nobody_is_answered_without_a_lease() -> None:
    async with world() as here:
        context, broker = here.instance()
        source = Source("a")
        stream = await context.create_new_resumable_stream(ID, source)
        peer = await Peer(here).listen()
        broker.keys_away = True
        await asyncio.sleep(LEASE + 1)
        await peer.ask(version=1)
        await peer.ask(window=100)
        assert peer.messages == []
        broker.reconnect()
        await asyncio.sleep(1)
        await peer.ask(window=100)
        assert text_of(peer.frames()) == "a"
        source.finish()
        assert await rest(stream) == ["a"]


@pytest.mark.rule("SEN-6", "P9")
@in_virtual_time
async def test_a_cancel_is_not_for_who_lost_the_lease() -> None:
    async with world() as here:
        context, broker = here.instance()
        stream = await context.create_new_resumable_stream(ID, Source("a"))
        await asyncio.sleep(0.1)
        broker.keys_away = True
        await asyncio.sleep(LEASE + 1)
        assert await here.sentinel() is None
        await here.raw.set(SENTINEL, str(5 << 20), ttl=60)
        peer = await Peer(here).listen()
        await peer.ask(type=RequestType.CANCEL)
        broker.reconnect()
        with pytest.raises(StreamSupersededError):
            await rest(stream)
        assert peer.messages == []


@pytest.mark.rule("SEN-7")
@in_virtual_time
async def test_outcome_is_written_before_done() -> None:
    async with world() as here:
        context, broker = here.instance()
        source = Source("a")
        stream = await context.create_new_resumable_stream(ID, source)
        source.finish()
        assert await rest(stream) == ["a"]
        assert [key for key, _ in broker.writes[-2:]] == [OUTCOME, SENTINEL]
        assert broker.writes[-1][1] == "DONE"


@pytest.mark.rule("SEN-7")
@in_virtual_time
async def test_end_is_recorded_though_the_sentinel_is_gone() -> None:
    async with world() as here:
        claim = claim_on(here.raw)
        assert await claim.take()
        await here.raw.delete(SENTINEL)
        await claim.finish(3, COMPLETED)
        assert await here.sentinel() == "DONE"
