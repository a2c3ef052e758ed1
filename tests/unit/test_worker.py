"""``adapter_kit.Worker``: when its task starts, starts again, and will never start again."""

from __future__ import annotations

import asyncio

import pytest

from resumable_stream.adapter_kit import Worker, heed_cancellation


class Part:
    """A part whose worker works until ``work`` is false."""

    def __init__(self) -> None:
        self.begun = 0
        self.work = self.left = True
        self.ends: list[BaseException | None] = []
        self.error: Exception | None = None
        self.worker = Worker(
            self._run, "part", lambda: self.left, self.ends.append, backend="Carrier"
        )

    async def _run(self) -> None:
        self.begun += 1
        if self.error is not None:
            raise self.error
        while self.work:
            await turns(1)

    def cancel(self) -> None:
        task = self.worker._task
        assert task is not None
        task.cancel()


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


@pytest.mark.parametrize("steps", [0, 3])
async def test_cancelled_worker_begins_again(steps: int) -> None:
    part = Part()
    part.worker.begin()
    await turns(steps)
    part.cancel()
    await turns()
    assert part.begun == (2 if steps else 1)
    assert (part.ends, part.worker.over) == ([None], False)
    await part.worker.stop()


async def test_stopped_worker_never_begins_again() -> None:
    part = Part()
    part.worker.begin()
    await turns()
    await part.worker.stop()
    part.worker.begin()
    await turns()
    assert (part.begun, part.ends, part.worker.cut_off) == (1, [None], False)


async def test_idle_worker_begins_with_the_next_work() -> None:
    part = Part()
    part.worker.begin()
    await turns()
    part.work = part.left = False
    await turns()
    assert part.ends == [None]
    part.work = part.left = True
    part.worker.begin()
    await turns()
    assert part.begun == 2
    await part.worker.stop()


async def test_owner_is_told_what_the_work_raised() -> None:
    part = Part()
    part.error, part.work = ValueError("broken"), False
    part.left = False
    part.worker.begin()
    await turns()
    assert part.ends == [part.error]


@pytest.mark.parametrize("steps", [0, 1, 3])
def test_end_of_the_loop_is_final(steps: int) -> None:
    part = Part()

    async def main() -> None:
        part.worker.begin()
        await turns(steps)

    asyncio.run(main())
    assert (part.worker.cut_off, part.worker.over, part.ends) == (True, True, [None])


def test_work_that_comes_while_the_loop_ends_is_not_begun() -> None:
    part = Part()

    others: list[asyncio.Task[None]] = []

    async def main() -> None:
        others.append(asyncio.create_task(asyncio.sleep(60)))
        part.worker.begin()
        await turns()
        part.work = False  # the task ends by itself, at the same time as the loop

    asyncio.run(main())
    assert (part.begun, part.worker.cut_off) == (1, True)


async def test_swallowed_cancellation_is_heeded() -> None:
    async def swallow() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            heed_cancellation()
            raise AssertionError("it was not heeded") from None

    task = asyncio.create_task(swallow())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    heed_cancellation()
