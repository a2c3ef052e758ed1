"""Drives an application that a document shows while its broker is away."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from support.fault_proxy import FaultProxy
from support.servers import free_port
from web.client import PATIENCE, ask, get, http_client
from web.stage import staged

if TYPE_CHECKING:
    from pathlib import Path

REDIS_PORT = 6379


async def drive_outage(program: Path, redis_url: str) -> None:
    """Without its broker the application answers 503, and a stop does not wait for the broker."""
    where = urlsplit(redis_url)
    credentials = "".join(where.netloc.rpartition("@")[:2])
    broker = where.port or REDIS_PORT
    async with FaultProxy(broker, where.hostname or "127.0.0.1") as proxy:
        through = where._replace(netloc=f"{credentials}127.0.0.1:{proxy.port}").geturl()
        async with staged("outage", program, through) as stage, http_client() as client:
            path = f"/answers/{stage.name}"

            async def stop() -> tuple[int, object]:
                answer = await client.post(f"{stage.there}{path}/stop")
                assert ("Retry-After" in answer.headers) == (answer.status_code == 503)
                return answer.status_code, answer.json()["result"]

            async with get(stage.here + path) as answer:
                await answer.events(3)
                assert await ask(f"{stage.there}{path}/status") == {"state": "active"}
                proxy.aim_at(free_port())
                proxy.cut()
                began = time.monotonic()
                assert await stop() == (503, "unknown")
                assert time.monotonic() - began < 3
                status = await client.get(f"{stage.there}{path}/status")
                assert (status.status_code, status.json()["code"]) == (503, "unavailable")
                assert status.headers["Retry-After"] == "1"
                proxy.aim_at(broker)
                # The first stop may have been executed or not: a second one does no harm.
                async with asyncio.timeout(PATIENCE):
                    while (told := await stop()) == (503, "unknown"):  # noqa: ASYNC110 - no event
                        await asyncio.sleep(0.02)
                assert told[0] == 200
                assert (await answer.events())[-1].json["code"] == "cancelled"
            assert await ask(f"{stage.there}{path}/status") == {"state": "cancelled"}
