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
from resumable_stream_nats._jetstream import JetStream, directly
from resumable_stream_nats._names import subject_of

if TYPE_CHECKING:
    from nats.aio.client import Client

    from resumable_stream_nats._link import Link
    from resumable_stream_nats._settings import BucketSettings

_TTL = api.Header.MSG_TTL.value
_DELETED_FOR = 1

# Headers count towards max_payload; those of one write take at most this much.
_HEADER_ROOM = 512


class _ChangedError(Exception):
    """The key has another revision by now; nothing was written."""


class Bucket:
    """The bucket, created at the first use if it is not there."""

    def __init__(self, settings: BucketSettings, link: Link, timeout: float) -> None:
        self._jetstream = JetStream(link, timeout)
        self._stream = BucketStream(settings, self._jetstream, link)
        self._timeout = timeout

    async def get(self, key: str) -> str | None:
        value = (await self._read(key, self._deadline())).value
        # Other programs may have written anything under the key, and it must compare as it is.
        return None if value is None else value.decode(errors="surrogateescape")

    async def set(self, key: str, value: str, *, ttl: int) -> None:
        await self._write(key, value.encode(), {}, ttl, self._deadline())

    async def create(self, key: str, value: str, *, ttl: int) -> bool:
        until = self._deadline()
        present = ABSENT
        while present.value is None:
            try:
                await self._write_after(present, key, value, ttl, until)
            except _ChangedError:
                present = await self._read(key, until)
            else:
                return True
        return False

    async def compare_and_set(self, key: str, expected: str, value: str, *, ttl: int) -> bool:
        until = self._deadline()
        wanted = expected.encode(errors="surrogateescape")  # as get may have given it
        while (present := await self._read(key, until)).value == wanted:
            try:
                await self._write_after(present, key, value, ttl, until)
            except _ChangedError:
                continue  # it may have been written with the same value
            return True
        return False

    async def delete(self, key: str) -> None:
        # The mark of removal expires, too: without a time to live it would stay for ever.
        await self._write(key, b"", {OPERATION: "DEL"}, _DELETED_FOR, self._deadline())

    def _deadline(self) -> float:
        return asyncio.get_running_loop().time() + self._timeout

    async def _write_after(
        self, present: Entry, key: str, value: str, ttl: int, until: float
    ) -> None:
        headers = {api.Header.EXPECTED_LAST_SUBJECT_SEQUENCE.value: str(present.revision)}
        try:
            await self._write(key, value.encode(), headers, ttl, until)
        except BackendUnavailableError as error:
            cause = error.__cause__
            if isinstance(cause, js_errors.APIError) and has_code(cause, WRONG_LAST_SEQUENCE):
                if asyncio.get_running_loop().time() < until:
                    raise _ChangedError from error
                raise refused(TimeoutError("the key keeps changing")) from error
            raise

    async def _write(
        self, key: str, value: bytes, headers: dict[str, str], ttl: int, until: float
    ) -> None:
        subject = self._stream.target + subject_of(key)

        lines = (f"{name}: {content}\r\n" for name, content in headers.items())
        block = f"NATS/1.0\r\n{_TTL}: {ttl}\r\n{''.join(lines)}\r\n".encode()

        def check(client: Client) -> None:
            limit = client.max_payload - _HEADER_ROOM
            if len(value) > limit:
                raise MessageTooLargeError(
                    f"a value of {len(value)} bytes exceeds what the server's max_payload "
                    f"leaves for it, {limit} bytes"
                )

        while True:
            await self._stream.prepare(until)
            self._stream.check_age(ttl)
            try:
                question = directly(
                    subject,
                    block,
                    value,
                    nobody=js_errors.NoStreamResponseError,
                    read=lambda answer: int(answer["seq"]),
                )
                await self._jetstream.ask(question, subject, until, write=True, check=check)
            except js_errors.NoStreamResponseError as error:
                # Nobody took it: the bucket has gone, or its stream has no leader just now.
                await self._stream.look_again(error, until)
            except nats.errors.Error as error:
                raise refused(error) from error
            else:
                return

    async def _read(self, key: str, until: float) -> Entry:
        while True:
            await self._stream.prepare(until)
            try:
                return await self._stream.last(key, until)
            except js_errors.NotFoundError as error:
                if not has_code(error, {STREAM_NOT_FOUND}):
                    return ABSENT
                # A bucket that is gone holds nothing: look again, which makes a new one.
                await self._stream.look_again(error, until)
            except js_errors.ServiceUnavailableError as error:
                await self._stream.look_again(error, until)
            except nats.errors.Error as error:
                raise refused(error) from error
