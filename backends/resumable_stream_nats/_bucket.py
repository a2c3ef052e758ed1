"""Keys in a JetStream bucket: every write with a time to live, and conditional by revision."""

from __future__ import annotations

import asyncio
import json
from base64 import b64decode
from typing import TYPE_CHECKING, Any, NamedTuple

import nats.errors
from nats.js import api
from nats.js import errors as js_errors

from resumable_stream.errors import BackendUnavailableError, MessageTooLargeError
from resumable_stream_nats._errors import (
    NAME_IN_USE,
    NO_META_LEADER,
    STREAM_NOT_FOUND,
    WRONG_LAST_SEQUENCE,
    DeniedError,
    has_code,
    refused,
    unusable,
)
from resumable_stream_nats._jetstream import (
    NO_HEADERS,
    PAUSE,
    JetStream,
    directly,
    through_driver,
)
from resumable_stream_nats._names import subject_of

if TYPE_CHECKING:
    from nats.aio.client import Client

    from resumable_stream_nats._link import Link
    from resumable_stream_nats._settings import BucketSettings

_TTL = api.Header.MSG_TTL.value
_OPERATION = "KV-Operation"
_MARKER = "Nats-Marker-Reason"
_DELETED_FOR = 1

# Headers count towards max_payload: at most this much of them with each write.
_HEADER_ROOM = 512
_NEEDED_VERSION = (2, 11)


class _Entry(NamedTuple):
    """The last message of a key: ``value`` is None where it marks a removal."""

    value: bytes | None
    revision: int


_ABSENT = _Entry(None, 0)


class _ChangedError(Exception):
    """The key has another revision by now; nothing was written."""


class Bucket:
    """The bucket, created at the first use if it is not there."""

    def __init__(self, settings: BucketSettings, link: Link, timeout: float) -> None:
        self._settings = settings
        self._link = link
        self._jetstream = JetStream(link, timeout)
        self._timeout = timeout
        self._stream = f"KV_{settings.name}"
        self._subject = f"$KV.{settings.name}."
        self._api_prefix = api.DEFAULT_PREFIX
        self._target = self._subject
        if settings.domain is not None:
            # Between domains $KV does not pass: there writes, too, go through the domain's API.
            self._api_prefix = f"$JS.{settings.domain}.API"
            self._target = f"{self._api_prefix}.{self._subject}"
        self._max_age = 0.0
        self._checked = False
        self._checking = asyncio.Lock()

    async def get(self, key: str) -> str | None:
        value = (await self._read(key, self._deadline())).value
        # Other programs may have written anything under the key, and it must compare as it is.
        return None if value is None else value.decode(errors="surrogateescape")

    async def set(self, key: str, value: str, *, ttl: int) -> None:
        await self._write(key, value.encode(), {}, ttl, self._deadline())

    async def create(self, key: str, value: str, *, ttl: int) -> bool:
        until = self._deadline()
        present = _ABSENT
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
                continue  # perhaps only renewed
            return True
        return False

    async def delete(self, key: str) -> None:
        # The mark goes, too: one without a time to live would stay for ever.
        await self._write(key, b"", {_OPERATION: "DEL"}, _DELETED_FOR, self._deadline())

    def _deadline(self) -> float:
        return asyncio.get_running_loop().time() + self._timeout

    async def _write_after(
        self, present: _Entry, key: str, value: str, ttl: int, until: float
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
        subject = self._target + subject_of(key)

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
            await self._prepare(until)
            if self._max_age and ttl > self._max_age:
                raise unusable(
                    f"bucket {self._settings.name!r} limits the age of its keys (max_age) to "
                    f"{self._max_age:g} s, less than the {ttl} s that are needed"
                )
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
                await self._look_again(error, until)
            except nats.errors.Error as error:
                raise refused(error) from error
            else:
                return

    async def _read(self, key: str, until: float) -> _Entry:
        while True:
            await self._prepare(until)
            try:
                return await self._last(key, until)
            except js_errors.NotFoundError as error:
                if not has_code(error, {STREAM_NOT_FOUND}):
                    return _ABSENT
                # A bucket that is gone holds nothing; it is there again for what comes next.
                await self._look_again(error, until)
            except js_errors.ServiceUnavailableError as error:
                await self._look_again(error, until)
            except nats.errors.Error as error:
                raise refused(error) from error

    async def _prepare(self, until: float) -> None:
        """See to it that the bucket is there and can hold the contract."""
        if self._checked:
            return
        async with self._checking:
            if self._checked:
                return
            config = await self._find(until)
            while config is None:
                config = await self._find(until)
            await self._check(config, until)
            await self._try_reading(until)
            self._max_age = config.max_age or 0.0
            self._checked = True

    async def _try_reading(self, until: float) -> None:
        """Whoever may write and not read would hear of it only at the end of a first stream."""
        try:
            await self._last("", until)
        except DeniedError as error:
            raise refused(error) from error
        except nats.errors.Error:
            return  # it may be read, but there is nothing, or nobody who knows it just now

    async def _find(self, until: float) -> api.StreamConfig | None:
        """Return the bucket's settings; None if it was not found, and may be there by now."""
        try:
            config = await self._info(until)
            if config is None:
                await self._check_version(until)
                await self._create(until)
                config = await self._info(until)
                if config is None:
                    await self._look_again(js_errors.NotFoundError(), until)
        except js_errors.ServiceUnavailableError as error:
            if not has_code(error, {NO_META_LEADER}):
                raise refused(error) from error
            await self._look_again(error, until)
            return None
        except (nats.errors.Error, json.JSONDecodeError) as error:
            raise refused(error) from error
        return config

    async def _info(self, until: float) -> api.StreamConfig | None:
        try:
            question = through_driver(self._api_prefix, lambda js: js.stream_info(self._stream))
            info = await self._jetstream.ask(question, self._api("INFO"), until)
        except js_errors.NotFoundError:
            return None
        return info.config

    async def _create(self, until: float) -> None:
        settings = self._settings
        config = api.KeyValueConfig(
            bucket=settings.name,
            description="resumable-stream: who produces which stream, and how it ended",
            history=1,
            storage=api.StorageType(settings.storage),
            replicas=settings.replicas,
        )
        try:
            question = through_driver(self._api_prefix, lambda js: js.create_key_value(config))
            await self._jetstream.ask(question, self._api("CREATE"), until)
        except DeniedError as error:
            raise unusable(
                f"bucket {settings.name!r} does not exist, and this user may not create it: create "
                "it beforehand, with per-message TTL and a history of 1"
            ) from error
        except js_errors.APIError as error:
            if not has_code(error, {NAME_IN_USE}):
                raise
            # Somebody else was faster, with other settings: theirs hold.

    async def _check(self, config: api.StreamConfig, until: float) -> None:
        name = f"bucket {self._settings.name!r}"
        if f"{self._subject}>" not in (config.subjects or ()):
            raise unusable(
                f"{name} is none: its stream {self._stream} has other subjects than "
                f"{self._subject}>; choose another bucket"
            )
        if not config.allow_msg_ttl:
            await self._check_version(until)
            raise unusable(f"{name} forbids per-message TTL: set allow_msg_ttl on its stream")
        if config.max_msgs_per_subject != 1:
            raise unusable(
                f"{name} keeps a history of {config.max_msgs_per_subject}, from which expired keys "
                "would come back: set it to 1 (max_msgs_per_subject)"
            )

    async def _check_version(self, until: float) -> None:
        version = (await self._link.reach(until)).client.connected_server_version
        if (version.major, version.minor) < _NEEDED_VERSION:
            raise unusable(
                f"nats-server {version.major}.{version.minor}.{version.patch} has no per-message "
                "TTL: 2.11 or newer is needed"
            )

    async def _look_again(self, error: Exception, until: float) -> None:
        self._checked = False
        loop = asyncio.get_running_loop()
        if loop.time() + PAUSE >= until:
            raise refused(error) from error
        await asyncio.sleep(PAUSE)

    async def _last(self, key: str, until: float) -> _Entry:
        subject = self._api("MSG.GET")
        wanted = json.dumps({"last_by_subj": self._subject + subject_of(key)}).encode()
        question = directly(
            subject,
            NO_HEADERS,
            wanted,
            nobody=js_errors.ServiceUnavailableError,
            read=lambda answer: _entry(answer["message"]),
        )
        return await self._jetstream.ask(question, subject, until)

    def _api(self, request: str) -> str:
        return f"{self._api_prefix}.STREAM.{request}.{self._stream}"


def _entry(message: dict[str, Any]) -> _Entry:
    headers = _headers(b64decode(message.get("hdrs") or ""))
    revision = int(message["seq"])
    if _MARKER in headers or headers.get(_OPERATION) in ("DEL", "PURGE"):
        return _Entry(None, revision)
    return _Entry(b64decode(message.get("data") or ""), revision)


def _headers(block: bytes) -> dict[str, str]:
    lines = (line.partition(":") for line in block.decode(errors="replace").split("\r\n"))
    return {name: content.strip() for name, _, content in lines}
