"""The jobs that wait for the file, and the thread that does them."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from weakref import finalize

from resumable_stream.adapter_kit import Call, Calls, again, caused, closed
from resumable_stream.errors import (
    BackendError,
    BackendFaultError,
    BackendUnavailableError,
    OutcomeUnknownError,
)
from resumable_stream_sqlite._file import TIDY_INTERVAL, File

if TYPE_CHECKING:
    from collections.abc import Sequence

    from resumable_stream_sqlite._file import Job

# What may wait at a time, and how much of it is done in one transaction. Each job counts for
# something, so that small ones are bounded, too.
_MAX_WAITING = 128 * 1024 * 1024
_MAX_BATCH = 8 * 1024 * 1024
_JOB_COST = 1024


class JobQueue:
    """Takes jobs on one event loop, and does all that wait in one turn of a thread.

    Everything but ``_work`` and ``_end`` happens on the event loop. The executor ends its thread
    when the queue is closed or forgotten, and at the end of the program once the present turn is
    over.

    Args:
        file: what the jobs are done on; it is closed with the queue.
        timeout: for how many seconds a caller waits.

    Attributes:
        cut_off: never true, as nothing here is a task of the event loop.
    """

    cut_off = False

    def __init__(self, file: File, timeout: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._file = file
        self._timeout = timeout
        self._jobs: Calls[Job, Call[Any]] = Calls()
        self._cost = 0
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="resumable-stream-sqlite")
        self._working = False
        self._closed = False
        self._tidying: asyncio.TimerHandle | None = None
        self._untidy = True
        finalize(self, file.close)

    async def do(self, job: Job) -> Any:
        """Return the job's result.

        Raises:
            BackendUnavailableError: the job was certainly not done, or only reads.
            OutcomeUnknownError: the job may have been done.
            BackendFaultError: the file cannot be used.
        """
        cost = _JOB_COST + job.size
        if self._cost + cost > _MAX_WAITING:
            raise BackendUnavailableError(
                f"{self._cost} bytes wait to be written to the SQLite journal: its disk is slow"
            )
        call: Call[Any] = Call()
        self._cost += cost
        try:
            self._jobs.put(call, [job])
            self._begin_soon()
            await asyncio.wait([call.done], timeout=self._timeout)
            if call.done.done():
                return call.done.result()
        finally:
            self._cost -= cost
            call.withdraw()
        raise self._overdue(call, job)

    async def aclose(self) -> None:
        """Fail what waits; finish what is being done; close the file and end the thread."""
        self._closed = True
        if self._tidying is not None:
            self._tidying.cancel()
        for call in self._jobs.give_up():
            call.fail(closed("SQLite"))
        ended = asyncio.Event()
        try:
            self._executor.submit(self._end, ended)
        except RuntimeError:
            return  # the program ends, and the file is closed with it
        self._executor.shutdown(wait=False)
        # A disk that does not answer holds up the thread, and nobody else.
        with suppress(TimeoutError):
            async with asyncio.timeout(self._timeout):
                await ended.wait()
            self._executor.shutdown()

    def _begin_soon(self) -> None:
        """Begin a turn, for all that is called in this turn of the event loop."""
        if not self._working:
            self._working = True
            self._loop.call_soon(self._begin)

    def _begin(self) -> None:
        batch: list[tuple[Job, Call[Any]]] = []
        room = _MAX_BATCH
        while room > 0 and (taken := self._jobs.take()) is not None:
            batch.append(taken)
            room -= taken[0].size
        untidy, self._untidy = self._untidy, False
        if not (batch or untidy) or self._closed:
            self._working = False
            return
        try:
            self._executor.submit(self._work, batch, untidy=untidy)
        except RuntimeError as error:
            self._working = False
            # The program ends, or there can be no thread; yet a later one may find the jobs.
            for job, call in batch:
                call.fail(caused(self._overdue(call, job), error))

    def _work(self, batch: Sequence[tuple[Job, Call[Any]]], *, untidy: bool) -> None:
        wait: float | None = TIDY_INTERVAL
        # The event loop may be closed, and with it all who wait.
        with suppress(RuntimeError):
            for writes in (False, True):
                some = [(job, call) for job, call in batch if job.writes is writes]
                if some:
                    results = self._results([job for job, _ in some], writes=writes)
                    calls = [call for _, call in some]
                    self._loop.call_soon_threadsafe(self._answer, calls, results)
            try:
                wait = self._file.tidy() if untidy else TIDY_INTERVAL
            except Exception as error:  # noqa: BLE001 - a mistake must not stop the queue
                self._loop.call_soon_threadsafe(self._report, error)
            self._loop.call_soon_threadsafe(self._turned, wait)

    def _results(self, jobs: Sequence[Job], *, writes: bool) -> list[Any]:
        try:
            found = self._file.transact(jobs, writes=writes)
        except Exception as error:  # noqa: BLE001 - a mistake must not leave callers waiting
            found = caused(BackendFaultError(f"the SQLite journal failed: {error!r}"), error)
        return found if isinstance(found, list) else [found] * len(jobs)

    def _answer(self, calls: Sequence[Call[Any]], results: Sequence[Any]) -> None:
        for call, result in zip(calls, results, strict=True):
            if isinstance(result, BackendError):
                call.fail(again(result))
            else:
                call.succeed(result)

    def _report(self, error: Exception) -> None:
        self._loop.call_exception_handler(
            {"message": "tidying the SQLite journal failed", "exception": error}
        )

    def _turned(self, wait: float | None) -> None:
        if wait is not None and self._tidying is None and not self._closed:
            self._tidying = self._loop.call_later(wait, self._tidy)
        self._begin()

    def _end(self, ended: asyncio.Event) -> None:
        self._file.close()
        with suppress(RuntimeError):  # the event loop is closed
            self._loop.call_soon_threadsafe(ended.set)

    def _tidy(self) -> None:
        self._tidying = None
        self._untidy = True
        self._begin_soon()

    def _overdue(self, call: Call[Any], job: Job) -> BackendError:
        if call.sent and job.writes:
            return OutcomeUnknownError(
                f"the SQLite journal did not answer within {self._timeout:g} s: its disk is slow"
            )
        return BackendUnavailableError(
            f"the SQLite journal had no turn within {self._timeout:g} s: its disk is slow, or "
            "another process keeps the file locked"
        )
