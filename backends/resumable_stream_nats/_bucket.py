"""Keys in a JetStream bucket: every write with a time to live, and conditional by revision."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import nats.errors
from nats.js import api
from nats.js import errors as js_errors

from resumable_stream.errors import BackendUnavailableError, MessageTooLargeError
from resumable_stream_nats._bucket_stream import ABSENT, OPERATION, BucketStream, Entry
from resumable_stream_nats._errors import (
    STREAM_NOT_FOUND,
    WRONG_LAST_SEQUENCE,
    has_code,
    refused,
)
from resumable_stream_nats._jetstream import JetStream, write, write_many
from resumable_stream_nats._names import subject_of
from resumable_stream_nats._revisions import Revisions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nats.aio.client import Client

    from resumable_stream_nats._link import Link
    from resumable_stream_nats._settings import BucketSettings

_TTL = api.Header.MSG_TTL.value
_EXPECTED = api.Header.EXPECTED_LAST_SUBJECT_SEQUENCE.value
_DELETED_FOR = 1

# Headers count towards max_payload; those of one write take at most this much.
_HEADER_ROOM = 512


class _ChangedError(Exception):
    """The key has another revision by now; nothing was written."""


class Bucket:
    """The bucket, created at the first use if it is not there."""

    def __init__(self, settings: BucketSettings, link: Link, timeout: float) -> None:
        self._link = link
        self._stream = BucketStream(settings, JetStream(link, timeout), link)
        self._revisions = Revisions()
        self._timeout = timeout

    async def get(self, key: str) -> str | None:
        value = (await self._read(key, self._deadline())).value
        # Other programs may have written anything under the key, and it must compare as it is.
        return None if value is None else value.decode(errors="surrogateescape")

    async def set(self, key: str, value: str, *, ttl: int) -> None:
        self._revisions.forget(key)
        await self._write(key, value, _header(_TTL, ttl), ttl, self._deadline())

    async def create(self, key: str, value: str, *, ttl: int) -> bool:
        until = self._deadline()
        present = ABSENT
        while present.value is None:
            try:
                await self._write_after(present.revision, key, value, ttl, until)
            except _ChangedError:
                present = await self._read(key, until)
            else:
                return True
        return False

    async def compare_and_set(self, key: str, expected: str, value: str, *, ttl: int) -> bool:
        until = self._deadline()
        wanted = expected.encode(errors="surrogateescape")  # as get may have given it
        try:
            await self._write_after(expected, key, value, ttl, until)
        except _ChangedError:
            while (present := await self._read(key, until)).value == wanted:
                try:
                    await self._write_after(present.revision, key, value, ttl, until)
                except _ChangedError:
                    continue  # it may have been written with the same value
                return True
            return False
        return True

    async def renew_many(self, entries: Sequence[tuple[str, str]], *, ttl: int) -> list[bool]:
        """Renew keys whose last write this backend has made and remembers, by one request each."""
        until = self._deadline()
        await self._stream.prepare(until)
        self._stream.check_age(ttl)
        line = self._link.present or await self._link.reach(until)
        sent = asyncio.get_running_loop().time()
        headers = f"NATS/1.0\r\n{_header(_TTL, ttl)}{_EXPECTED}: "
        remembered: list[int] = []
        requests: list[tuple[str, bytes, bytes]] = []
        for number, (key, value) in enumerate(entries):
            revision = self._revisions.of(line, key, value)
            if revision is not None:
                remembered.append(number)
                block = f"{headers}{revision}\r\n\r\n".encode()
                requests.append((self._stream.target + subject_of(key), block, value.encode()))
        renewed = [False] * len(entries)
        answers = await write_many(line, requests, until)
        for number, written in zip(remembered, answers, strict=True):
            if written is not None:
                renewed[number] = True
                key, value = entries[number]
                # What is remembered has a unique number, and its bucket gives no others.
                self._revisions.note(line, key, value, written, sent, ttl)
        return renewed

    async def delete(self, key: str) -> None:
        self._revisions.forget(key)
        # The mark of removal expires, too: without a time to live it would stay for ever.
        headers = _header(OPERATION, "DEL") + _header(_TTL, _DELETED_FOR)
        await self._write(key, "", headers, _DELETED_FOR, self._deadline())

    def _deadline(self) -> float:
        return asyncio.get_running_loop().time() + self._timeout

    async def _write_after(
        self, present: int | str, key: str, value: str, ttl: int, until: float
    ) -> None:
        """Write if the key's last revision is the one given, or that of its own last write.

        Of a value, the last write of this backend is taken, if it was of that value.
        """
        try:
            await self._write(key, value, _header(_TTL, ttl), ttl, until, present)
        except BackendUnavailableError as error:
            cause = error.__cause__
            if isinstance(cause, js_errors.APIError) and has_code(cause, WRONG_LAST_SEQUENCE):
                if asyncio.get_running_loop().time() < until:
                    raise _ChangedError from error
                raise refused(TimeoutError("the key keeps changing")) from error
            raise

    async def _write(
        self,
        key: str,
        value: str,
        headers: str,
        ttl: int,
        until: float,
        present: int | str | None = None,
    ) -> None:
        encoded = value.encode()
        subject = self._stream.target + subject_of(key)
        loop = asyncio.get_running_loop()
        while True:
            if not self._stream.ready:
                await self._stream.prepare(until)
            self._stream.check_age(ttl)
            line = self._link.present or await self._link.reach(until)
            _check_size(encoded, line.client)
            revision = present
            if isinstance(present, str):
                revision = self._revisions.of(line, key, present)
                if revision is None:
                    raise _ChangedError
            block = headers if revision is None else headers + _header(_EXPECTED, revision)
            sent = loop.time()
            try:
                written = await write(
                    line, subject, f"NATS/1.0\r\n{block}\r\n".encode(), encoded, until
                )
            except js_errors.NoStreamResponseError as error:
                # Nobody took it: the bucket has gone, or its stream has no leader just now.
                self._revisions.clear()
                await self._stream.look_again(error, until)
            except nats.errors.Error as error:
                raise refused(error) from error
            else:
                if present is not None and self._stream.is_unique(written):
                    self._revisions.note(line, key, value, written, sent, ttl)
                return

    async def _read(self, key: str, until: float) -> Entry:
        while True:
            if not self._stream.ready:
                await self._stream.prepare(until)
            try:
                return await self._stream.last(key, until)
            except js_errors.NotFoundError as error:
                if not has_code(error, {STREAM_NOT_FOUND}):
                    return ABSENT
                # A bucket that is gone holds nothing: look again, which makes a new one.
                self._revisions.clear()
                await self._stream.look_again(error, until)
            except js_errors.ServiceUnavailableError as error:
                self._revisions.clear()
                await self._stream.look_again(error, until)
            except nats.errors.Error as error:
                raise refused(error) from error


def _header(name: str, content: object) -> str:
    return f"{name}: {content}\r\n"


def _check_size(value: bytes, client: Client) -> None:
    limit = client.max_payload - _HEADER_ROOM
    if len(value) > limit:
        raise MessageTooLargeError(
            f"a value of {len(value)} bytes exceeds what the server's max_payload "
            f"leaves for it, {limit} bytes"
        )
