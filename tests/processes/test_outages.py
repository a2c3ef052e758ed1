"""Outages: a server is killed or frozen while streams go on."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from processes.texts import Source

if TYPE_CHECKING:
    from processes.workers import Crew
    from support.brokers import Broker

RESTARTS = 10
STEP = 30
LOOKS = 200


async def test_ten_empty_restarts_lose_no_text(broker: Broker, crew: Crew, stream: str) -> None:
    producing, reading = [await crew.worker(broker.url, lease=2.0) for _ in range(2)]
    source = Source(count=STEP * RESTARTS, gated_from=0, pause=0.003)
    await producing.begin(stream, source)
    assert await reading.resume(stream, source) == "reading"
    for number in range(RESTARTS):
        # The source runs on while the server is away.
        await producing.release(stream, STEP)
        broker.kill()
        (await producing.read(stream, limit=STEP)).check_part(None)
        broker.start()
        (await reading.read(stream, limit=STEP)).check_part(None)
        # Text may come before the sentinel is written again: on NATS its bucket is made first.
        state = ""
        for _ in range(LOOKS):
            if (state := await reading.status(stream)) == "active":
                break
            await asyncio.sleep(0.05)
        assert state == "active", number
    await producing.release(stream)
    for worker in (producing, reading):
        (await worker.read(stream)).check_complete()
    assert await reading.status(stream) == "completed"
    assert await producing.calls(stream) == 1


async def test_streams_may_end_during_an_outage(broker: Broker, crew: Crew, stream: str) -> None:
    producing, reading = [await crew.worker(broker.url, lease=2.0) for _ in range(2)]
    source = Source(gated_from=50)
    await producing.begin(stream, source)
    assert await reading.resume(stream, source) == "reading"
    (await reading.read(stream, limit=20)).check_part(None)
    broker.kill()
    await producing.release(stream)
    (await producing.read(stream)).check_complete()
    broker.start()
    (await reading.read(stream)).check_complete()
    assert await reading.status(stream) == "completed"


async def test_stopped_server_loses_no_text(broker: Broker, crew: Crew) -> None:
    pause = 3.0
    # One pair's leases outlast the pause; the other pair's leases run out in it.
    pairs = {
        lease: [await crew.worker(broker.url, lease=lease) for _ in range(2)]
        for lease in (5 * pause, pause / 2)
    }
    source = Source(count=200, gated_from=100)
    for lease, (producing, reading) in pairs.items():
        stream = f"lease {lease}"
        await producing.begin(stream, source)
        assert await reading.resume(stream, source) == "reading"
        (await reading.read(stream, limit=50)).check_part(None)
    broker.freeze()
    for lease, (producing, _) in pairs.items():
        stream = f"lease {lease}"
        await producing.release(stream, 50)
        # A reader in the producer's process does not wait for the broker.
        (await producing.read(stream, limit=150)).check_part(None)
    await asyncio.sleep(pause)
    broker.thaw()
    for lease, (producing, reading) in pairs.items():
        stream = f"lease {lease}"
        (await reading.read(stream, limit=100)).check_part(None)
        await producing.release(stream)
        for worker in (producing, reading):
            (await worker.read(stream)).check_complete()
        assert await reading.status(stream) == "completed"
        assert await producing.calls(stream) == 1


async def test_server_that_stays_away_is_told(broker: Broker, crew: Crew, stream: str) -> None:
    producing = await crew.worker(broker.url, lease=2.0)
    reading = await crew.worker(broker.url, lease=2.0, outage_timeout=1.0, handshake_timeout=1.0)
    source = Source(gated_from=50)
    await producing.begin(stream, source)
    assert await reading.resume(stream, source) == "reading"
    broker.kill()
    (await reading.read(stream)).check_part("BackendUnavailableError")
    assert await reading.resume(stream, source) == "BackendUnavailableError"
    assert await reading.begin(stream, source) == "BackendUnavailableError"
    await producing.release(stream)
    (await producing.read(stream)).check_complete()
    broker.start()
