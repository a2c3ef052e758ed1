"""A JetStream stream beneath a bucket or a journal: found or created, and checked."""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
from base64 import b64decode
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import nats.errors
from nats.js import api
from nats.js import errors as js_errors

from resumable_stream_nats._errors import (
    NAME_IN_USE,
    DeniedError,
    has_code,
    is_passing,
    refused,
    unusable,
)
from resumable_stream_nats._jetstream import PAUSE, JetStream, StrangeAnswerError

if TYPE_CHECKING:
    from collections.abc import Callable

    from resumable_stream_nats._link import Link
    from resumable_stream_nats._settings import BucketSettings

logger = logging.getLogger("resumable_stream")

Config = dict[str, Any]
T = TypeVar("T")

_NEEDED_VERSION = (2, 11)

# A stream that is created here numbers its messages from a random start, at least this high. So no
# two streams of one name give a message the same number.
_LEAST_START = 2**48
_STARTS = 2**52


@dataclass(frozen=True)
class Kind:
    """What a stream is for.

    Attributes:
        noun: what users call it, with its name.
        stream: the stream's own name.
        subject: what its subjects begin with.
        description: tells that this library has created it.
        settings: what it is created with, beside what all have.
        needs: what it needs where an operator creates it.
        check: raises what is wrong with the settings of one that exists.
    """

    noun: str
    stream: str
    subject: str
    description: str
    settings: Config
    needs: str
    check: Callable[[Config], None]


class KeptStream:
    """The stream, created at the first use if it is not there.

    Attributes:
        target: what the subject of a write begins with; the name's own follows.
        ready: it was found and checked, and has answered since.
    """

    def __init__(
        self, kind: Kind, settings: BucketSettings, jetstream: JetStream, link: Link
    ) -> None:
        self._kind = kind
        self._settings = settings
        self._jetstream = jetstream
        self._link = link
        self._api_prefix = api.DEFAULT_PREFIX
        self.target = kind.subject
        if settings.domain is not None:
            # Between domains $KV does not pass: there writes, too, go through the domain's API.
            self._api_prefix = f"$JS.{settings.domain}.API"
            self.target = f"{self._api_prefix}.{kind.subject}"
        self._max_age = 0.0
        self._numbers_are_unique = False
        self.ready = False
        self._checking = asyncio.Lock()

    def check_age(self, ttl: int) -> None:
        """Refuse a time to live that the stream would cut short."""
        if self._max_age and ttl > self._max_age:
            raise unusable(
                f"{self._kind.noun} limits the age of what it holds (max_age) to "
                f"{self._max_age:g} s, less than the {ttl} s that are needed"
            )

    def is_unique(self, revision: int) -> bool:
        """Tell whether no other stream of this name has or will have a message of this number.

        That is so where the numbers begin at a random start that no one who makes the stream again
        takes over from its settings. It holds for streams that this library has created.
        """
        return self._numbers_are_unique and revision >= _LEAST_START

    async def ask(
        self, request: str, question: Config, read: Callable[[Config], T], until: float
    ) -> T:
        """Ask the stream's leader.

        Raises:
            NotFoundError: there is no such message, or no stream: its code tells which.
            ServiceUnavailableError: nobody answers for the stream just now.
        """
        payload = json.dumps(question).encode()
        return await self._jetstream.ask(self.api(request), payload, read, until)

    def api(self, request: str) -> str:
        return f"{self._api_prefix}.STREAM.{request}.{self._kind.stream}"

    async def prepare(self, until: float) -> None:
        """Make sure that the stream is there and can hold the contract."""
        if self.ready:
            return
        async with self._checking:
            if self.ready:
                return
            config = await self._find(until)
            while config is None:
                config = await self._find(until)
            self._kind.check(config)
            if not config.get("allow_msg_ttl"):
                await self._check_version(until)
                raise unusable(
                    f"{self._kind.noun} forbids per-message TTL: set allow_msg_ttl on its stream"
                )
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
            lowest = {"last_by_subj": f"{self._kind.subject}="}
            await self.ask("MSG.GET", lowest, lambda _: None, until)
        except DeniedError as error:
            raise refused(error) from error
        except nats.errors.Error:
            return  # reading is allowed; there is nothing to read, or nobody to answer just now

    async def _find(self, until: float) -> Config | None:
        """Return the stream's settings; None if it is to be looked for again."""
        try:
            config = await self._info(until)
            if config is None:
                await self._check_version(until)
                await self._create(until)
                config = await self._info(until)
                if config is None:
                    await self.look_again(js_errors.NotFoundError(), until)
            if config is not None and config.get("description") == self._kind.description:
                config = await self._hide_start(config, until)
        except js_errors.APIError as error:
            if not is_passing(error):
                raise refused(error) from error
            await self.look_again(error, until)
            return None
        except nats.errors.Error as error:
            raise refused(error) from error
        return config

    async def _info(self, until: float) -> Config | None:
        try:
            return await self._jetstream.ask(self.api("INFO"), b"", _config, until)
        except js_errors.NotFoundError:
            return None

    async def _create(self, until: float) -> None:
        settings = self._settings
        config = {
            "name": self._kind.stream,
            "description": self._kind.description,
            "subjects": [f"{self._kind.subject}>"],
            "retention": "limits",
            "discard": "new",
            "storage": settings.storage,
            "num_replicas": settings.replicas,
            "allow_msg_ttl": True,
            "deny_delete": True,
            "first_seq": _LEAST_START + secrets.randbelow(_STARTS),
            **self._kind.settings,
        }
        try:
            await self._jetstream.ask(
                self.api("CREATE"), json.dumps(config).encode(), _config, until
            )
        except DeniedError as error:
            raise unusable(
                f"{self._kind.noun} does not exist, and this user may not create it: create "
                f"it beforehand, with {self._kind.needs}"
            ) from error
        except js_errors.APIError as error:
            if not has_code(error, {NAME_IN_USE}):
                raise
            # Somebody else was faster, with other settings, which hold.

    async def _hide_start(self, config: Config, until: float) -> Config:
        """Take the random start out of the stream's settings; its numbers go on from there.

        Settings outlive messages: a server that has lost its memory, or an operator who makes the
        stream again with the settings of the former one, would begin at the same number.
        """
        if not config.get("first_seq"):
            return config
        hidden = {name: value for name, value in config.items() if name != "first_seq"}
        try:
            return await self._jetstream.ask(
                self.api("UPDATE"), json.dumps(hidden).encode(), _config, until
            )
        except (DeniedError, StrangeAnswerError, js_errors.APIError) as error:
            # Then each renewal reads before it writes.
            logger.debug("nats: the stream's start stays in its settings: %r", error)
            return config

    async def _check_version(self, until: float) -> None:
        version = (await self._link.reach(until)).client.connected_server_version
        if (version.major, version.minor) < _NEEDED_VERSION:
            raise unusable(
                f"nats-server {version.major}.{version.minor}.{version.patch} has no per-message "
                "TTL: 2.11 or newer is needed"
            )


def _config(answer: dict[str, Any]) -> Config:
    config: Config = answer["config"]
    return config


def headers_of(message: dict[str, Any]) -> dict[str, str]:
    """Return the headers of a message that the stream's leader gave."""
    block = b64decode(message.get("hdrs") or "").decode(errors="replace")
    lines = (line.partition(":") for line in block.split("\r\n"))
    return {name: content.strip() for name, _, content in lines}
