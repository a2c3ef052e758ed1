"""Logs in a JetStream stream: each append names the last message of the log that it follows."""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import nats.errors
from nats.js import api
from nats.js import errors as js_errors

from resumable_stream.errors import BackendUnavailableError, RecordTooLargeError
from resumable_stream_nats._errors import (
    STREAM_NOT_FOUND,
    WRONG_LAST_SEQUENCE,
    full,
    has_code,
    refused,
    unusable,
)
from resumable_stream_nats._jetstream import NO_HEADERS, JetStream, write
from resumable_stream_nats._journal_batch import BATCH_BYTES, INDEX, Following, Run
from resumable_stream_nats._journal_room import Room
from resumable_stream_nats._journal_stream import JournalStream
from resumable_stream_nats._names import subject_of
from resumable_stream_nats._revisions import Revisions

if TYPE_CHECKING:
    from resumable_stream_nats._journal_batch import Record
    from resumable_stream_nats._line import Line
    from resumable_stream_nats._link import Link
    from resumable_stream_nats._settings import BucketSettings

LEAST_RECORD_SIZE = 65_536

_HEADERS = (
    f"NATS/1.0\r\n{api.Header.MSG_TTL.value}: %d\r\n"
    f"{api.Header.EXPECTED_LAST_SUBJECT_SEQUENCE.value}: %d\r\n{INDEX}: %d\r\n\r\n"
).encode()

# Headers count towards max_payload; those of a record take at most this much.
_HEADER_ROOM = 512

# Where reads have ended: the next one goes on from there.
_KEPT_PLACES = 4096


class _PassedError(Exception):
    """The log does not end where the record was to follow; nothing was written."""


class Logs:
    """The logs, in a stream that is created at the first use if it is not there."""

    def __init__(self, settings: BucketSettings, link: Link, timeout: float) -> None:
        self._link = link
        self._stream = JournalStream(settings, JetStream(link, timeout), link)
        self._timeout = timeout
        # Of each log the number of the last record that was written here, for the next append.
        self._written = Revisions()
        self._places: OrderedDict[tuple[str, int], int] = OrderedDict()
        # Apart, so that no append waits behind the replay of a long text.
        self._writing = Room()
        self._reading = Room()

    @property
    def max_record_size(self) -> int:
        known = self._link.max_message_size
        return LEAST_RECORD_SIZE if known is None else max(known - _HEADER_ROOM, LEAST_RECORD_SIZE)

    async def append(self, log: str, index: int, record: bytes, *, ttl: int) -> bool:
        until = self._deadline()
        await self._writing.take(len(record), until)
        try:
            return await self._append(log, index, record, ttl, until)
        finally:
            self._writing.give(len(record))

    async def read(self, log: str, index: int, *, max_bytes: int) -> list[bytes] | None:
        until = self._deadline()
        size = max(LEAST_RECORD_SIZE, min(max_bytes, BATCH_BYTES))
        await self._reading.take(size, until)
        try:
            return await self._read(log, index, max_bytes, until)
        finally:
            self._reading.give(size)

    async def delete(self, log: str) -> None:
        until = self._deadline()
        question = json.dumps({"filter": self._stream.subject(log)}).encode()
        while True:
            if not self._stream.ready:
                await self._stream.prepare(until)
            line = self._link.present or await self._link.reach(until)
            self._written.forget(log)
            try:
                await write(line, self._stream.api("PURGE"), NO_HEADERS, question, until, _purged)
            except js_errors.NoStreamResponseError as error:
                await self._stream.look_again(error, until)
            except js_errors.NotFoundError as error:
                if not has_code(error, {STREAM_NOT_FOUND}):
                    raise refused(error) from error
                await self._stream.look_again(error, until)
            except nats.errors.Error as error:
                raise refused(error) from error
            else:
                return

    def _deadline(self) -> float:
        return asyncio.get_running_loop().time() + self._timeout

    async def _append(self, log: str, index: int, record: bytes, ttl: int, until: float) -> bool:
        known = True
        while True:
            if not self._stream.ready:
                await self._stream.prepare(until)
            self._stream.check_age(ttl)
            line = self._link.present or await self._link.reach(until)
            _check_size(record, line)
            previous = self._remembered(line, log, index) if known else None
            if previous is None:
                last = await self._stream.last(log, until)
                if (0 if last is None else last.number + 1) != index:
                    return False
                previous = 0 if last is None else last.sequence
            headers = _HEADERS % (ttl, previous, index)
            try:
                await self._write(line, log, index, headers, record, ttl, until)
            except js_errors.NoStreamResponseError as error:
                # Nobody took it: the stream has gone, or has no leader just now.
                self._written.clear()
                await self._stream.look_again(error, until)
            except _PassedError:
                known = False
            else:
                return True

    async def _write(
        self,
        line: Line,
        log: str,
        index: int,
        headers: bytes,
        record: bytes,
        ttl: int,
        until: float,
    ) -> None:
        loop = asyncio.get_running_loop()
        sent = loop.time()
        try:
            subject = self._stream.target + subject_of(log)
            sequence = await write(line, subject, headers, record, until)
        except js_errors.NoStreamResponseError:
            raise
        except js_errors.APIError as error:
            if has_code(error, WRONG_LAST_SEQUENCE):
                if loop.time() < until:
                    raise _PassedError from error
                raise refused(TimeoutError("the log keeps changing")) from error
            raise full(error) or refused(error) from error
        except nats.errors.Error as error:
            raise refused(error) from error
        if self._stream.is_unique(sequence):
            self._written.note(line, log, str(index), sequence, sent, ttl)

    def _remembered(self, line: Line, log: str, index: int) -> int | None:
        return self._written.of(line, log, str(index - 1)) if index else 0

    async def _read(self, log: str, index: int, max_bytes: int, until: float) -> list[bytes] | None:
        record, later = await self._find(log, index, until)
        if record is None:
            return None if later else []
        run = Run(record, max_bytes)
        while run.is_open:
            try:
                following = await self._after(log, run, until)
            except BackendUnavailableError:
                break
            if not following.records or not all(map(run.add, following.records)):
                break
            if following.ended:
                break
        self._places[log, run.number] = run.place
        if len(self._places) > _KEPT_PLACES:
            self._places.popitem(last=False)
        return run.records

    async def _after(self, log: str, run: Run, until: float) -> Following:
        """Return records that may follow, from any replica: the leader has given the first.

        A log that was deleted meanwhile and begun again has its record 0 next: so a record with the
        next number belongs to the same log as the first.
        """
        following = await self._stream.after(log, run, until)
        if following is None:
            record = await self._stream.next(log, run.place, until)
            following = Following([] if record is None else [record], record is None)
        return following

    async def _find(self, log: str, index: int, until: float) -> tuple[Record | None, bool]:
        """Return a record; without it, whether a later one remains."""
        place = self._places.pop((log, index), None) if index else 0
        if place is not None:
            # A log holds no two records of one number, so a place that is out of date does no harm.
            record = await self._stream.next(log, place, until)
            if record is not None and record.number == index:
                return record, False
            if not index:
                return None, record is not None
        return await self._search(log, index, until)

    async def _search(self, log: str, index: int, until: float) -> tuple[Record | None, bool]:
        """Look for a record between the first and the last one, by the numbers that are there.

        The sequence numbers of a log grow with its records, though not evenly: each third step
        halves. A log that vanishes meanwhile was empty at that moment.
        """
        high = await self._stream.last(log, until)
        if high is None or high.number < index:
            return None, False
        if high.number == index:
            return high, False
        low = await self._stream.next(log, 0, until)
        end, turn = high.sequence, 0  # what comes at ``end`` or later has a higher index
        while low is not None and low.number < index and low.sequence < end:
            distance = end - low.sequence
            if distance == 1:
                return None, True
            turn += 1
            part = distance * (index - low.number) // (high.number - low.number)
            step = max(1, min(part if turn % 3 else distance // 2, distance - 1))
            probe = await self._stream.next(log, low.sequence + step, until)
            if probe is None or probe.number <= index:
                low = probe
            else:
                high, end = probe, low.sequence + step
        if low is None or low.number < index:
            return None, False
        return (low, False) if low.number == index else (None, True)


def _check_size(record: bytes, line: Line) -> None:
    limit = line.max_message_size - _HEADER_ROOM
    if limit < LEAST_RECORD_SIZE:
        raise unusable(
            f"the server's max_payload is {line.max_message_size} bytes, and a journal needs "
            f"{LEAST_RECORD_SIZE + _HEADER_ROOM}: configure 128 KiB or more"
        )
    if len(record) > limit:
        raise RecordTooLargeError(
            f"a record of {len(record)} bytes exceeds the journal's max_record_size, {limit} "
            "bytes: split it, or raise the server's max_payload"
        )


def _purged(answer: dict[str, Any]) -> int:
    return int(answer["purged"])
