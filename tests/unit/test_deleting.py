"""A deleted stream leaves nothing, and frees its id."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest

from resumable_stream import (
    NOT_FOUND,
    DeleteResult,
    OffsetOutOfRangeError,
    ProducerLostError,
    StreamFailedError,
)
from resumable_stream._protocol.wire import Refusal, RefusalFrame, RequestType
from support.journals import died, ending_with, generation, journaled, kept, produced
from support.virtual_time import in_virtual_time
from support.world import (
    ID,
    NAMES,
    OUTCOME,
    SENTINEL,
    Peer,
    Source,
    ends_of,
    rest,
    text_of,
    world,
)


async def read_into(came: list[str], stream: Any) -> None:
    while True:
        came.append(await anext(stream))


@pytest.mark.rule("P3", "JNL-8")
@in_virtual_time
async def test_a_deleted_stream_is_gone_and_its_id_is_free() -> None:
    async with world() as here:
        run = await produced(here, ["a"])
        context, _, _ = journaled(here, "async")
        assert await context.delete_stream(ID) is DeleteResult.DELETED
        assert await context.resume_existing_stream(ID) is NOT_FOUND
        assert await context.delete_stream(ID) is DeleteResult.NOT_FOUND
        assert await kept(here, run) == ([], [])
        source = Source("new")
        stream = await context.resumable_stream(ID, source)
        assert await context.delete_stream(ID) is DeleteResult.STILL_ACTIVE
        source.finish()
        assert await rest(stream) == ["new"]
        assert await context.delete_stream(ID) is DeleteResult.DELETED
        assert await rest(await context.resumable_stream(ID, ending_with("again"))) == ["again"]


@pytest.mark.rule("P3", "P12")
@in_virtual_time
async def test_a_stream_that_is_being_deleted_never_looks_complete() -> None:
    async with world() as here:
        await produced(here, ["a"], error=ValueError("no"))
        broker: Any
        context, broker, _ = journaled(here, "async")
        reader, _, _ = journaled(here, None)
        swap = broker.compare_and_set

        async def slowly(*arguments: str, ttl: int) -> bool:
            await asyncio.sleep(0.3)
            return bool(await swap(*arguments, ttl=ttl))

        broker.compare_and_set = slowly
        deleting = asyncio.create_task(context.delete_stream(ID))
        found: Any = None
        while found is not NOT_FOUND:
            with contextlib.suppress(StreamFailedError):
                found = await reader.resume_existing_stream(ID)
                assert found is not None, "it is said to be complete"
            await asyncio.sleep(0.01)
        assert await deleting is DeleteResult.DELETED
        source = ending_with("again")
        assert await rest(await reader.resumable_stream(ID, source)) == ["again"]
        assert source.calls == 1


@pytest.mark.rule("P3", "JNL-8")
@in_virtual_time
async def test_what_a_dead_producer_left_can_be_deleted() -> None:
    async with world() as here:
        await died(here, "a")
        context, _, _ = journaled(here, "async")
        assert await context.delete_stream(ID) is DeleteResult.DELETED
        stream = await context.resumable_stream(ID, ending_with("again"))
        assert await rest(stream) == ["again"]


@pytest.mark.rule("JNL-8")
@in_virtual_time
async def test_the_run_that_the_broker_knows_is_deleted_and_not_only_the_one_here() -> None:
    async with world() as here:
        context, _, _ = journaled(here, "async")
        source = Source("a")
        first = await context.create_new_resumable_stream(ID, source)
        # It serves a listener that never says whether it got the end.
        await Peer(here).ask(version=2, window=100)
        source.finish()
        assert await rest(first) == ["a"]
        await asyncio.sleep(1)
        # The broker comes back empty, and somebody else is asked for the stream.
        await here.raw.delete(SENTINEL)
        await here.raw.delete(OUTCOME)
        other, _, _ = journaled(here, "async")
        stream = await other.create_new_resumable_stream(ID, ending_with("b"))
        run = await generation(here)
        assert await rest(stream) == ["b"]
        await asyncio.sleep(1)
        assert await context.delete_stream(ID) is DeleteResult.DELETED
        assert await kept(here, run) == ([], [])
        assert await context.resume_existing_stream(ID) is NOT_FOUND


@pytest.mark.rule("P3", "REQ-8", "JNL-8")
@pytest.mark.parametrize("durability", [None, "async"])
@in_virtual_time
async def test_a_producer_in_its_grace_forgets_what_is_deleted_elsewhere(
    durability: str | None,
) -> None:
    async with world() as here:
        context, broker, _ = journaled(here, durability, grace=100)
        stream = await context.create_new_resumable_stream(ID, ending_with("a", "b"))
        run = await generation(here)
        assert await rest(stream) == ["a", "b"]
        await asyncio.sleep(1)
        there, _, _ = journaled(here, None)
        peer = await Peer(here).listen(run)
        await peer.ask(generation=run, window=1000)
        assert text_of(peer.frames()) == "ab"
        assert await there.delete_stream(ID) is DeleteResult.DELETED
        for fields in ({}, {"generation": run}, {"generation": run, "skip": 1}):
            await peer.ask(window=1000, **fields)
            assert text_of(peer.frames() + peer.live_frames(run)) == ""
        await peer.ask(version=1)
        assert peer.texts() == []
        for instance in (context, there):
            assert await instance.resume_existing_stream(ID, 0) is NOT_FOUND
        await asyncio.sleep(60)
        assert not broker._subscriptions, "it still listens"


@pytest.mark.rule("P3", "P7", "REQ-8", "JNL-8")
@pytest.mark.parametrize("deletes", ["beside the producer", "elsewhere"])
@in_virtual_time
async def test_readers_that_are_still_served_get_nothing_of_a_deleted_text(deletes: str) -> None:
    async with world() as here:
        context, _, _ = journaled(here, "async")
        there, _, _ = journaled(here, None, window=16 * 1024)
        source = Source("a")
        local: Any = await context.create_new_resumable_stream(ID, source)
        remote: Any = await there.resume_existing_stream(ID)
        assert [await anext(local), await anext(remote)] == ["a", "a"]
        chunks = [f"{number:09999}" for number in range(200)]
        source.put(*chunks)
        source.finish()
        await asyncio.sleep(2)
        deleting = context if deletes == "beside the producer" else there
        assert await deleting.delete_stream(ID) is DeleteResult.DELETED
        for instance in (context, there):
            assert await instance.resume_existing_stream(ID) is NOT_FOUND
        with pytest.raises(OffsetOutOfRangeError):
            await anext(local)
        came: list[str] = []
        with pytest.raises(OffsetOutOfRangeError):
            await read_into(came, remote)
        assert came == chunks[: len(came)]
        assert len(came) < 50, "it got more than it held"
        source = ending_with("again")
        assert await rest(await context.resumable_stream(ID, source)) == ["again"]


@pytest.mark.rule("P3", "REQ-8")
@in_virtual_time
async def test_a_producer_is_asked_to_forget_until_the_keys_are_gone() -> None:
    async with world() as here:
        context, _, _ = journaled(here, "async", grace=100)
        stream = await context.create_new_resumable_stream(ID, ending_with("a"))
        run = await generation(here)
        assert await rest(stream) == ["a"]
        await asyncio.sleep(1)
        there, broker, _ = journaled(here, None)
        asked = 0

        def drop(channel: str, _message: bytes) -> bool:
            nonlocal asked
            asked += channel == NAMES.request(ID)
            return asked <= 5

        broker.drop = drop
        assert await there.delete_stream(ID) is DeleteResult.DELETED
        assert asked > 5
        peer = await Peer(here).listen()
        await peer.ask(generation=run, window=1000)
        assert peer.frames() == []


@pytest.mark.rule("REQ-8")
@in_virtual_time
async def test_only_a_run_that_is_over_forgets_and_only_its_own_text() -> None:
    async with world() as here:
        context, _, _ = journaled(here, "async", grace=100)
        source = Source("a", "b")
        stream = await context.create_new_resumable_stream(ID, source)
        run = await generation(here)
        peer = await Peer(here).listen()
        await asyncio.sleep(1)
        await peer.ask(type=RequestType.ERASE, generation=run)
        source.finish()
        assert await rest(stream) == ["a", "b"]
        await asyncio.sleep(1)
        for fields in ({}, {"generation": run + 1}):
            await peer.ask(type=RequestType.ERASE, **fields)
            await peer.ask(generation=run, window=1000)
            assert text_of(peer.frames()) == "ab"
        await peer.ask(type=RequestType.ERASE, generation=run)
        await peer.ask(generation=run, window=1000)
        (refusal,) = peer.frames()
        assert isinstance(refusal, RefusalFrame)
        assert (refusal.refusal, refusal.start) == (Refusal.TRIMMED, 2)
        await peer.ask(generation=run, skip=2, window=1000)
        assert ends_of(peer.frames()) == ["completed"]


@pytest.mark.rule("P3", "JNL-8")
@in_virtual_time
async def test_a_run_that_begins_and_ends_while_an_older_one_is_deleted_stays() -> None:
    async with world() as here:
        await produced(here, ["old"])
        context, _, _ = journaled(here, "async")
        other, _, _ = journaled(here, "async")

        async def produce_once_it_is_free() -> None:
            for _ in range(3000):
                if await here.sentinel() is None:
                    break
                await asyncio.sleep(0.001)
            assert await rest(await other.resumable_stream(ID, ending_with("new"))) == ["new"]
            assert await here.sentinel() == "DONE"

        began = asyncio.get_running_loop().time()
        producing = asyncio.create_task(produce_once_it_is_free())
        assert await context.delete_stream(ID) is DeleteResult.DELETED
        assert asyncio.get_running_loop().time() < began + 3
        await producing
        await asyncio.sleep(100)
        assert await here.sentinel() == "DONE"
        assert await rest(await context.resume_existing_stream(ID)) == ["new"]


@pytest.mark.rule("P3", "JNL-8")
@pytest.mark.parametrize("moment", ["get", "compare_and_set"])
@in_virtual_time
async def test_a_run_that_ended_just_before_keys_are_let_run_out_stays(moment: str) -> None:
    async with world() as here:
        await produced(here, ["old"])
        broker: Any
        context, broker, _ = journaled(here, "async")
        other, _, _ = journaled(here, "async")
        call, calls = getattr(broker, moment), 0

        async def late(*arguments: Any, **options: Any) -> Any:
            nonlocal calls
            calls += 1
            # The sentinel is read by the look-up; the outcome is written to before the sentinel is.
            if calls == (3 if moment == "get" else 2):
                setattr(broker, moment, call)
                for name in (SENTINEL, OUTCOME):
                    await here.raw.delete(name)
                assert await rest(await other.resumable_stream(ID, ending_with("new"))) == ["new"]
                await asyncio.sleep(1)
            return await call(*arguments, **options)

        setattr(broker, moment, late)
        assert await context.delete_stream(ID) is DeleteResult.DELETED
        await asyncio.sleep(100)
        assert await here.sentinel() == "DONE"
        assert await rest(await context.resume_existing_stream(ID)) == ["new"]


@pytest.mark.rule("P3", "JNL-8")
@in_virtual_time
async def test_a_stream_that_two_delete_is_gone_for_both() -> None:
    async with world() as here:
        await produced(here, ["a"])
        deleting = [journaled(here, "async")[0].delete_stream(ID) for _ in range(2)]
        assert await asyncio.gather(*deleting) == [DeleteResult.DELETED] * 2
        assert await here.sentinel() is None
        assert await here.raw.get(OUTCOME) is None


@pytest.mark.rule("P3", "JNL-5", "JNL-8")
@in_virtual_time
async def test_what_another_buries_meanwhile_is_deleted_too() -> None:
    async with world() as here:
        run = await died(here, "a")
        broker: Any
        context, broker, _ = journaled(here, "async")
        other, _, _ = journaled(here, "async")
        swap = broker.compare_and_set

        async def late(*arguments: Any, ttl: int) -> bool:
            broker.compare_and_set = swap
            with pytest.raises(ProducerLostError):
                await rest(await other.resumable_stream(ID, Source()))
            return bool(await swap(*arguments, ttl=ttl))

        broker.compare_and_set = late
        assert await context.delete_stream(ID) is DeleteResult.DELETED
        assert await context.resume_existing_stream(ID) is NOT_FOUND
        assert (await kept(here, run))[0] == []
