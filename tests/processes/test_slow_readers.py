"""Readers that stop reading while a hundred megabytes flow."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from processes.texts import Source
from support.brokers import MOSTLY_ON_REDIS

if TYPE_CHECKING:
    from processes.workers import Crew
    from support.brokers import Broker

pytestmark = MOSTLY_ON_REDIS

MEGABYTE = 1024 * 1024
FLOW = Source(kind="bulk", count=1600, gated_from=16)
# Memory beside the text itself: frames on their way, and what the allocator keeps.
SLACK = 64 * MEGABYTE


async def test_stalled_reader_costs_no_memory(broker: Broker, crew: Crew, stream: str) -> None:
    producing, stalled, reading = [await crew.worker(broker.url) for _ in range(3)]
    await producing.begin(stream, FLOW)
    for worker in (stalled, reading):
        assert await worker.resume(stream, FLOW) == "reading"
        (await worker.read(stream, limit=16)).check_part(None)
    before = {worker: worker.memory() for worker in (producing, stalled, reading)}
    await producing.release(stream)
    for found in await asyncio.gather(producing.read(stream), reading.read(stream)):
        found.check_complete()
    text = FLOW.count * 64 * 1024
    assert producing.memory("VmHWM") - before[producing] < text + SLACK
    for worker in (stalled, reading):
        assert worker.memory("VmHWM") - before[worker] < SLACK
    (await stalled.read(stream)).check_complete()
    assert stalled.memory("VmHWM") - before[stalled] < SLACK
    assert producing.memory("VmHWM") - before[producing] < text + SLACK


async def test_stopped_process_reads_on_exactly(broker: Broker, crew: Crew, stream: str) -> None:
    producing, stopped, reading = [await crew.worker(broker.url, lease=1.5) for _ in range(3)]
    await producing.begin(stream, FLOW)
    for worker in (stopped, reading):
        assert await worker.resume(stream, FLOW) == "reading"
        (await worker.read(stream, limit=16)).check_part(None)
    before = {worker: worker.memory() for worker in (producing, stopped)}
    stopped.freeze()
    await producing.release(stream, FLOW.count - 17)
    for worker in (producing, reading):
        (await worker.read(stream, limit=FLOW.count - 17 - 16)).check_part(None)
    # The connection of the stopped reader is full, and by then the producer has given it up.
    await asyncio.sleep(2.2)
    stopped.thaw()
    # This is more than it can hold, so it has asked again: the producer knows it before the end.
    (await stopped.read(stream, limit=100)).check_part(None)
    await producing.release(stream)
    for found in await asyncio.gather(*(one.read(stream) for one in (producing, reading, stopped))):
        found.check_complete()
    assert stopped.memory("VmHWM") - before[stopped] < SLACK
    text = FLOW.count * 64 * 1024
    assert producing.memory("VmHWM") - before[producing] < text + SLACK


async def test_reader_behind_the_buffer_is_told(broker: Broker, crew: Crew, stream: str) -> None:
    limit = 8 * MEGABYTE
    producing = await crew.worker(broker.url, buffer_limit=limit)
    stalled, reading = [await crew.worker(broker.url) for _ in range(2)]
    await producing.begin(stream, FLOW)
    for worker in (stalled, reading):
        assert await worker.resume(stream, FLOW) == "reading"
        (await worker.read(stream, limit=16)).check_part(None)
    before = producing.memory()
    for _ in range(99):
        # The source waits for this reader, so the buffer drops no text that it has not read.
        await producing.release(stream, 16)
        (await reading.read(stream, limit=16)).check_part(None)
    assert producing.memory("VmHWM") - before < limit + SLACK
    (await stalled.read(stream)).check_part("OffsetOutOfRangeError")
    await producing.release(stream)
    (await reading.read(stream)).check_complete()
