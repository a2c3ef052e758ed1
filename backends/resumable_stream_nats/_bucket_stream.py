"""The JetStream stream beneath a bucket: found or created, checked, and read."""

from __future__ import annotations

import asyncio
import json
from base64 import b64decode
from typing import TYPE_CHECKING, Any, NamedTuple

import nats.errors
from nats.js import api
from nats.js import errors as js_errors

from resumable_stream_nats._errors import (
    NAME_IN_USE,
    NO_META_LEADER,
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
    from resumable_stream_nats._link import Link
    from resumable_stream_nats._settings import BucketSettings

OPERATION = "KV-Operation"
_MARKER = "Nats-Marker-Reason"
_NEEDED_VERSION = (2, 11)


class Entry(NamedTuple):
    """The last message of a key: ``value`` is None where it marks a removal."""

    value: bytes | None
    revision: int


ABSENT = Entry(None, 0)


class BucketStream:
    """The stream, created at the first use if it is not there.

    Attributes:
        target: what the subject of a write begins with; the key's own follows.
    """

    def __init__(self, settings: BucketSettings, jetstream: JetStream, link: Link) -> None:
        self._settings = settings
        self._jetstream = jetstream
        self._link = link
        self._stream = f"KV_{settings.name}"
        self._subject = f"$KV.{settings.name}."
        self._api_prefix = api.DEFAULT_PREFIX
        self.target = self._subject
        if settings.domain is not None:
            # Between domains $KV does not pass: there writes, too, go through the domain's API.
            self._api_prefix = f"$JS.{settings.domain}.API"
            self.target = f"{self._api_prefix}.{self._subject}"
        self._max_age = 0.0
        self._checked = False
        self._checking = asyncio.Lock()

    def check_age(self, ttl: int) -> None:
        """Refuse a time to live that the bucket would cut short."""
        if self._max_age and ttl > self._max_age:
            raise unusable(
                f"bucket {self._settings.name!r} limits the age of its keys (max_age) to "
                f"{self._max_age:g} s, less than the {ttl} s that are needed"
            )

    async def last(self, key: str, until: float) -> Entry:
        """Return the last message of a key, as the stream's leader knows it.

        Raises:
            NotFoundError: there is no such message, or no stream: its code tells which.
            ServiceUnavailableError: nobody answers for the stream just now.
        """
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

    async def prepare(self, until: float) -> None:
        """Make sure that the bucket is there and can hold the contract."""
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

    async def look_again(self, error: Exception, until: float) -> None:
        """Pause, and have the next ``prepare`` look for the stream again.

        Raises:
            BackendUnavailableError: there is no time left; the error is its cause.
        """
        self._checked = False
        loop = asyncio.get_running_loop()
        if loop.time() + PAUSE >= until:
            raise refused(error) from error
        await asyncio.sleep(PAUSE)

    async def _try_reading(self, until: float) -> None:
        """Find a missing right to read now: else only the end of a first stream would show it."""
        try:
            await self.last("", until)
        except DeniedError as error:
            raise refused(error) from error
        except nats.errors.Error:
            return  # reading is allowed; there is nothing to read, or nobody to answer just now

    async def _find(self, until: float) -> api.StreamConfig | None:
        """Return the bucket's settings; None if it is to be looked for again."""
        try:
            config = await self._info(until)
            if config is None:
                await self._check_version(until)
                await self._create(until)
                config = await self._info(until)
                if config is None:
                    await self.look_again(js_errors.NotFoundError(), until)
        except js_errors.ServiceUnavailableError as error:
            if not has_code(error, {NO_META_LEADER}):
                raise refused(error) from error
            await self.look_again(error, until)
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
            # Somebody else was faster, with other settings, which hold.

    async def _check(self, config: api.StreamConfig, until: float) -> None:
        name = f"bucket {self._settings.name!r}"
        if f"{self._subject}>" not in (config.subjects or ()):
            raise unusable(
                f"{name} is no key-value bucket: its stream {self._stream} has other subjects than "
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

    def _api(self, request: str) -> str:
        return f"{self._api_prefix}.STREAM.{request}.{self._stream}"


def _entry(message: dict[str, Any]) -> Entry:
    headers = _headers(b64decode(message.get("hdrs") or ""))
    revision = int(message["seq"])
    if _MARKER in headers or headers.get(OPERATION) in ("DEL", "PURGE"):
        return Entry(None, revision)
    return Entry(b64decode(message.get("data") or ""), revision)


def _headers(block: bytes) -> dict[str, str]:
    lines = (line.partition(":") for line in block.decode(errors="replace").split("\r\n"))
    return {name: content.strip() for name, _, content in lines}
