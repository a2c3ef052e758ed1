"""Workers of a queue, which produce, and are killed."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from typing import TYPE_CHECKING, Self

from support.servers import eventually
from web.client import Follower, ask

if TYPE_CHECKING:
    from web.stage import Stage

FREE = 3  # words that come before the source waits


class Worker:
    """A worker with the processes that it starts; ``async with`` runs it."""

    def __init__(self, stage: Stage) -> None:
        self._environment = os.environ | stage.environment
        self._environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))

    async def __aenter__(self) -> Self:
        command = ("-m", "taskiq", "worker", "web.documented:broker", "--workers", "1")
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, *command),
            stdin=asyncio.subprocess.DEVNULL,
            env=self._environment,
            start_new_session=True,
        )
        return self

    async def kill(self) -> None:
        if self._process.returncode is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        await self._process.wait()

    async def __aexit__(self, *_: object) -> None:
        await self.kill()


async def drive_taskiq(stage: Stage) -> None:
    """Kill a worker in the middle of an answer that was asked for before there was one."""
    texts = [f"{word} " for word in ("You", "have", "asked", "me", "this", "question:", "Why?")]
    page = Follower(stage.there + await asked(stage, "Why?"))
    following = asyncio.create_task(page.follow(patience=60))
    async with Worker(stage) as first:
        await eventually(lambda: len(page.events) == FREE, "the first words")
        await first.kill()
    stage.let_go()
    async with Worker(stage):
        deadline = time.monotonic() + 40
        while not following.done():
            # Which lets the worker look for what the dead one has left.
            await asked(stage, "And this?")
            assert time.monotonic() < deadline, "the answer does not go on"
            await asyncio.wait({following}, timeout=0.5)
        await following
    assert [event.data for event in page.events if event.event == "message"] == texts
    assert page.events[-1].event == "done"
    assert page.connections == 1


async def asked(stage: Stage, question: str) -> str:
    """Ask a question; return where the answer is read."""
    stream_id = (await ask(f"{stage.here}/answers", "POST", question=question))["id"]
    return f"/answers/{stream_id}"
