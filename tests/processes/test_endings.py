"""Endings between processes: killed producers, failing sources, fenced zombies."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from processes.texts import Source
from processes.workers import state_reached

if TYPE_CHECKING:
    from processes.workers import Crew
    from support.brokers import Broker

LEASE = 1.5
LOST = "ProducerLostError"


async def test_killed_producer_is_reported_to_all(broker: Broker, crew: Crew, stream: str) -> None:
    producing, reading, late = [await crew.worker(broker.url, lease=LEASE) for _ in range(3)]
    source = Source(count=1000, gated_from=200)
    await producing.begin(stream, source)
    middle = source.units(100)
    assert await reading.resume(stream, source, reader="start") == "reading"
    assert await reading.resume(stream, source, reader="middle", skip=middle) == "reading"
    assert await reading.resume(stream, source, reader="beyond", skip=middle * 10) == "reading"
    await reading.read("start", limit=50)
    await producing.kill()
    killed = time.monotonic()
    cancelling = asyncio.create_task(late.ask("cancel", stream=stream))
    joining = asyncio.create_task(late.resume(stream, source))
    from_start, from_middle, from_beyond = await asyncio.gather(
        *(reading.read(reader) for reader in ("start", "middle", "beyond"))
    )
    assert await joining == "NOT_FOUND"
    assert await cancelling in {"not_found", "no_producer_answered"}
    assert time.monotonic() - killed < LEASE * 1.1 + 2
    from_start.check_part(LOST)
    from_middle.check_part(LOST)
    assert from_start.units == from_middle.units == source.units(200)
    assert (from_beyond.ending, from_beyond.chunks) == (LOST, 0)
    # The id is free again.
    again = Source(seed=2)
    assert await late.begin(stream, again) == "reading"
    (await late.read(stream)).check_complete()


async def test_late_reader_of_killed_producer_is_told(
    broker: Broker, crew: Crew, stream: str
) -> None:
    producing, late = [await crew.worker(broker.url, handshake_timeout=0.5) for _ in range(2)]
    source = Source(gated_from=10)
    await producing.begin(stream, source)
    await late.status(stream)
    await producing.kill()
    asked = time.monotonic()
    assert await late.resume(stream, source) == "HandshakeTimeoutError"
    assert await late.begin(stream, source) == "HandshakeTimeoutError"
    assert time.monotonic() - asked < 2 * 0.5 + 2


@pytest.mark.parametrize("fail_at", [0, 30, 60], ids=["first", "middle", "last"])
async def test_failing_source_fails_everywhere(
    broker: Broker, crew: Crew, stream: str, fail_at: int
) -> None:
    producing, reading = [await crew.worker(broker.url, lease=LEASE, grace=0) for _ in range(2)]
    source = Source(count=60, gated_from=max(0, fail_at - 5), fail_at=fail_at)
    assert await producing.begin(stream, source) == "reading"
    assert await reading.resume(stream, source) == "reading"
    await producing.release(stream)
    for found in await asyncio.gather(producing.read(stream), reading.read(stream)):
        found.check_part("StreamFailedError")
        assert found.chunks == fail_at
        assert found.said_error_type == "SourceFailedError"
        assert found.said_error_message == f"failed at {fail_at}"
    for worker in (producing, reading):
        assert await worker.status(stream) == "failed"
        assert await worker.resume(stream, source) == "StreamFailedError"
        assert await worker.begin(stream, source) == "StreamFailedError"
        assert await worker.begin(stream, source, new=True) == "StreamExistsError"
    assert await producing.calls(stream) == 1


async def test_cancel_from_another_process_ends_all(
    broker: Broker, crew: Crew, stream: str
) -> None:
    producing, reading, asking = [await crew.worker(broker.url, lease=LEASE) for _ in range(3)]
    source = Source(gated_from=50)
    await producing.begin(stream, source)
    assert await reading.resume(stream, source) == "reading"
    assert await asking.ask("cancel", stream=stream) == "cancelled"
    for worker in (producing, reading):
        found = await worker.read(stream)
        found.check_part("StreamCancelledError")
    for worker in (producing, reading, asking):
        assert await worker.status(stream) == "cancelled"
        assert await worker.ask("cancel", stream=stream) == "already_over"


@pytest.mark.parametrize("waking", ["running", "ending"])
async def test_woken_producer_is_fenced(
    broker: Broker, crew: Crew, stream: str, waking: str
) -> None:
    paused, taking, old, new = [await crew.worker(broker.url, lease=LEASE) for _ in range(4)]
    first = Source(seed=1, count=40, gated_from=40)
    second = Source(seed=2, count=40, gated_from=20)
    await paused.begin(stream, first)
    assert await old.resume(stream, first) == "reading"
    (await old.read(stream, limit=40)).check_part(None)
    paused.freeze()
    # When the producer wakes, its source either still runs, or ends while the renewal is overdue.
    releasing = asyncio.create_task(paused.release(stream, int(waking == "ending")))
    await state_reached(taking, stream, "not_found")
    assert await taking.begin(stream, second) == "reading"
    assert await new.resume(stream, second) == "reading"
    lost = await old.read(stream)
    # The reader may have looked after the end of the lease and before the take-over.
    assert lost.ending in {"StreamSupersededError", "ProducerLostError"}
    lost.check_part(lost.ending)
    paused.thaw()
    await releasing
    found = await paused.read(stream)
    if waking == "ending" and found.ending == "completed":
        # A reader in the producer's process has the whole text, and does not wait for the broker.
        found.check_complete()
    else:
        found.check_part("StreamSupersededError")
    assert found.chunks == 40
    await taking.release(stream)
    for worker in (taking, new):
        (await worker.read(stream)).check_complete()
    for worker in (paused, taking, new):
        assert await worker.status(stream) == "completed"
    assert [await worker.calls(stream) for worker in (paused, taking)] == [1, 1]
