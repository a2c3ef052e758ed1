"""The JetStream stream beneath a bucket: found or created, checked, and read."""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
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
from resumable_stream_nats._jetstream import PAUSE, JetStream, StrangeAnswerError
from resumable_stream_nats._names import subject_of

if TYPE_CHECKING:
    from resumable_stream_nats._link import Link
    from resumable_stream_nats._settings import BucketSettings

logger = logging.getLogger("resumable_stream")

Config = dict[str, Any]

OPERATION = "KV-Operation"
_MARKER = "Nats-Marker-Reason"
_NEEDED_VERSION = (2, 11)
_DESCRIPTION = "resumable-stream: who produces which stream, and how it ended"

# A bucket that is created here numbers its messages from a random start, at least this high. So no
# two buckets of one name give a message the same number.
_LEAST_START = 2**48
_STARTS = 2**52


class Entry(NamedTuple):
    """The last message of a key: ``value`` is None where it marks a removal."""

    value: bytes | None
    revision: int


ABSENT = Entry(None, 0)


class BucketStream:
    """The stream, created at the first use if it is not there.

    Attributes:
        target: what the subject of a write begins with; the key's own follows.
        ready: it was found and checked, and has answered since.
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
        self._numbers_are_unique = False
        self.ready = False
        self._checking = asyncio.Lock()

    def check_age(self, ttl: int) -> None:
        """Refuse a time to live that the bucket would cut short."""
        if self._max_age and ttl > self._max_age:
            raise unusable(
                f"bucket {self._settings.name!r} limits the age of its keys (max_age) to "
                f"{self._max_age:g} s, less than the {ttl} s that are needed"
            )

    def is_unique(self, revision: int) -> bool:
        """Tell whether no other bucket of this name has or will have a message of this number.

        That is so where the numbers begin at a random start that no one who makes the bucket again
        takes over from its settings. It holds for buckets that this library has created.
        """
        return self._numbers_are_unique and revision >= _LEAST_START

    async def last(self, key: str, until: float) -> Entry:
        """Return the last message of a key, as the stream's leader knows it.

        Raises:
            NotFoundError: there is no such message, or no stream: its code tells which.
            ServiceUnavailableError: nobody answers for the stream just now.
        """
        wanted = json.dumps({"last_by_subj": self._subject + subject_of(key)}).encode()
        return await self._jetstream.ask(
            self._api("MSG.GET"), wanted, lambda answer: _entry(answer["message"]), until
        )

    async def prepare(self, until: float) -> None:
        """Make sure that the bucket is there and can hold the contract."""
        if self.ready:
            return
        async with self._checking:
            if self.ready:
                return
            config = await self._find(until)
            while config is None:
                config = await self._find(until)
            await self._check(config, until)
            await self._try_reading(until)
            self._max_age = config.get("max_age", 0) / 1e9
            self._numbers_are_unique = not config.get("first_seq")
            self.ready = True

    async def look_again(self, error: Exception, until: float) -> None:
        """Pause, and have the next ``prepare`` look for the stream again.

        Raises:
            BackendUnavailableError: there is no time left; the error is its cause.
        """
        self.ready = False
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

    async def _find(self, until: float) -> Config | None:
        """Return the bucket's settings; None if it is to be looked for again."""
        try:
            config = await self._info(until)
            if config is None:
                await self._check_version(until)
                await self._create(until)
                config = await self._info(until)
                if config is None:
                    await self.look_again(js_errors.NotFoundError(), until)
            if config is not None and config.get("description") == _DESCRIPTION:
                config = await self._hide_start(config, until)
        except js_errors.ServiceUnavailableError as error:
            if not has_code(error, {NO_META_LEADER}):
                raise refused(error) from error
            await self.look_again(error, until)
            return None
        except nats.errors.Error as error:
            raise refused(error) from error
        return config

    async def _info(self, until: float) -> Config | None:
        try:
            return await self._jetstream.ask(self._api("INFO"), b"", _config, until)
        except js_errors.NotFoundError:
            return None

    async def _create(self, until: float) -> None:
        settings = self._settings
        config = {
            "name": self._stream,
            "description": _DESCRIPTION,
            "subjects": [f"{self._subject}>"],
            "retention": "limits",
            "discard": "new",
            "storage": settings.storage,
            "num_replicas": settings.replicas,
            "max_msgs_per_subject": 1,
            "allow_msg_ttl": True,
            "allow_rollup_hdrs": True,
            "deny_delete": True,
            "first_seq": _LEAST_START + secrets.randbelow(_STARTS),
        }
        try:
            await self._jetstream.ask(
                self._api("CREATE"), json.dumps(config).encode(), _config, until
            )
        except DeniedError as error:
            raise unusable(
                f"bucket {settings.name!r} does not exist, and this user may not create it: create "
                "it beforehand, with per-message TTL and a history of 1"
            ) from error
        except js_errors.APIError as error:
            if not has_code(error, {NAME_IN_USE}):
                raise
            # Somebody else was faster, with other settings, which hold.

    async def _hide_start(self, config: Config, until: float) -> Config:
        """Take the random start out of the bucket's settings; its numbers go on from there.

        Settings outlive messages: a server that has lost its memory, or an operator who makes the
        bucket again with the settings of the former one, would begin at the same number.
        """
        if not config.get("first_seq"):
            return config
        hidden = {name: value for name, value in config.items() if name != "first_seq"}
        try:
            return await self._jetstream.ask(
                self._api("UPDATE"), json.dumps(hidden).encode(), _config, until
            )
        except (DeniedError, StrangeAnswerError, js_errors.APIError) as error:
            # Then each renewal reads before it writes.
            logger.debug("nats: the bucket's start stays in its settings: %r", error)
            return config

    async def _check(self, config: Config, until: float) -> None:
        name = f"bucket {self._settings.name!r}"
        if f"{self._subject}>" not in (config.get("subjects") or ()):
            raise unusable(
                f"{name} is no key-value bucket: its stream {self._stream} has other subjects than "
                f"{self._subject}>; choose another bucket"
            )
        if not config.get("allow_msg_ttl"):
            await self._check_version(until)
            raise unusable(f"{name} forbids per-message TTL: set allow_msg_ttl on its stream")
        if (history := config.get("max_msgs_per_subject")) != 1:
            raise unusable(
                f"{name} keeps a history of {history}, from which expired keys "
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


def _config(answer: dict[str, Any]) -> Config:
    config: Config = answer["config"]
    return config


def _entry(message: dict[str, Any]) -> Entry:
    headers = _headers(b64decode(message.get("hdrs") or ""))
    revision = int(message["seq"])
    if _MARKER in headers or headers.get(OPERATION) in ("DEL", "PURGE"):
        return Entry(None, revision)
    return Entry(b64decode(message.get("data") or ""), revision)


def _headers(block: bytes) -> dict[str, str]:
    lines = (line.partition(":") for line in block.decode(errors="replace").split("\r\n"))
    return {name: content.strip() for name, _, content in lines}
