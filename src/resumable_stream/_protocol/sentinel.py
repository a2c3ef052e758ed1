"""The state of a stream in the key-value store: who produces it, and how it ended."""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import time
from enum import Enum, auto
from typing import TYPE_CHECKING, NamedTuple

from resumable_stream._protocol.fields import MalformedError, natural, read_object
from resumable_stream._protocol.wire import ending_fields, ending_from
from resumable_stream._text.log import Ending, Status
from resumable_stream._text.offsets import MAX_SAFE_INTEGER, is_encodable
from resumable_stream.errors import (
    BackendUnavailableError,
    InvalidSettingError,
    OutcomeUnknownError,
)

if TYPE_CHECKING:
    from resumable_stream._options import Options
    from resumable_stream.ports import KeyValue

logger = logging.getLogger("resumable_stream")

DONE = "DONE"

# A sentinel is generation << 20. TypeScript peers INCR it once per call; the low bits are theirs.
_FOREIGN_BITS = 20
_GENERATION_BITS = 33
_MAX_DIGITS = 16
_MAX_PREFIX = 128

# A write whose outcome stays unknown is looked up and repeated this often before it is given up.
_CLAIM_ATTEMPTS = 5
_PAUSE = 0.05
# A key that is changed between each look and the write after it is written to this often in a row.
_WRITE_ATTEMPTS = 32
# By how many seconds the clocks of two hosts may differ.
_CLOCK_SKEW = 60.0

# Only ever saves a question that nobody would answer: nothing that is promised depends on it.
wall_clock = time.time


class Names(NamedTuple):
    """Keys and channels under one prefix."""

    prefix: str

    @classmethod
    def under(cls, prefix: str) -> Names:
        """Check the prefix: nothing under it may read as a name under another."""
        if not 0 < len(prefix) <= _MAX_PREFIX or ":rs:" in f"{prefix}:":
            raise InvalidSettingError(
                f"key_prefix {prefix!r:.80} must have 1 to {_MAX_PREFIX} characters "
                "and not contain ':rs:' or end in ':rs'"
            )
        if not is_encodable(prefix):
            raise InvalidSettingError(
                f"key_prefix {prefix!r} has lone surrogates: use text that UTF-8 can encode"
            )
        return cls(prefix)

    def sentinel(self, stream_id: str) -> str:
        return f"{self.prefix}:rs:sentinel:{stream_id}"

    def outcome(self, stream_id: str) -> str:
        return f"{self.prefix}:rs:outcome:{stream_id}"

    def request(self, stream_id: str) -> str:
        return f"{self.prefix}:rs:request:{stream_id}"

    def chunk(self, listener_id: str) -> str:
        return f"{self.prefix}:rs:chunk:{listener_id}"


def live_id(stream_id: str, generation: int) -> str:
    """The listener id of the channel that all of a generation's listeners share."""
    return f"{generation}:{stream_id}"


class Absence(Enum):
    """States of a stream that nobody produces."""

    MISSING = auto()
    DONE = auto()


class Active(NamedTuple):
    """Somebody produces the stream; ``generation`` is None for a TypeScript peer."""

    generation: int | None


State = Absence | Active


def parse_sentinel(value: str | None) -> State:
    if value is None:
        return Absence.MISSING
    if value == DONE:
        return Absence.DONE
    generation = generation_of(value)
    return Active(generation or None)


def generation_of(value: str) -> int:
    """The generation a sentinel names; 0 if it is a TypeScript peer's count, or anything else."""
    if not value.isascii() or not value.isdigit() or len(value) > _MAX_DIGITS:
        return 0
    number = int(value)
    return number >> _FOREIGN_BITS if number <= MAX_SAFE_INTEGER else 0


class Outcome(NamedTuple):
    """The record beside ``DONE``: which generation ended, after how many chunks, and how.

    ``generation`` is None if the record cannot be read. ``served_until`` is the Unix time until
    which the producer means to serve the stream.
    """

    generation: int | None
    end: int
    ending: Ending
    served_until: int = 0

    def encode(self) -> str:
        fields = {"generation": self.generation, "end": self.end} | ending_fields(self.ending)
        if self.served_until:
            fields["servedUntil"] = self.served_until
        return json.dumps(fields, separators=(",", ":"))

    def is_served(self) -> bool:
        """Tell whether it is worth asking the producer, though clocks differ."""
        return wall_clock() < self.served_until + _CLOCK_SKEW

    @classmethod
    def decode(cls, text: str | None) -> Outcome | None:
        """Return what a record says; None if there is none, or it is not as specified."""
        if text is None:
            return None
        try:
            fields = read_object(text)
            ending = ending_from(fields)
            if ending.status is Status.SUPERSEDED:
                return None  # which ends a run, not the stream
            return cls(
                natural(fields.get("generation")),
                natural(fields.get("end")),
                ending,
                natural(fields.get("servedUntil"), 0),
            )
        except MalformedError:
            return None


# How a stream ended whose record cannot be read is unknown: never may it look complete.
_UNREADABLE = Outcome(None, 0, Ending(Status.LOST))


async def read_state(store: KeyValue, names: Names, stream_id: str) -> State:
    return parse_sentinel(await store.get(names.sentinel(stream_id)))


async def read_outcome(store: KeyValue, names: Names, stream_id: str) -> Outcome | None:
    """Return the record of a stream's end; None if there is none."""
    key = names.outcome(stream_id)
    text = await store.get(key)
    outcome = Outcome.decode(text)
    if outcome is None and text is not None:
        logger.warning(
            "the record %r cannot be read: its stream counts as lost; find out what wrote it, "
            "another program or a newer version of this library, and give it a key_prefix of its "
            "own",
            key,
        )
        return _UNREADABLE
    return outcome


class SupersededError(Exception):
    """Another generation holds the sentinel."""


class Claim:
    """One producer's hold on a stream id: taken, renewed and given up by atomic writes only.

    The sentinel's value is this claim's own token, so a write whose reply was lost is looked up and
    never repeated blindly.
    """

    def __init__(self, store: KeyValue, names: Names, stream_id: str, options: Options) -> None:
        self.generation = 1 + secrets.randbelow(2**_GENERATION_BITS - 1)
        self._store = store
        self._key = names.sentinel(stream_id)
        self._outcome_key = names.outcome(stream_id)
        self._value = str(self.generation << _FOREIGN_BITS)
        self._options = options
        self._held_until = 0.0

    @property
    def held(self) -> bool:
        """Nobody else can have taken the stream, by this instance's own clock."""
        return asyncio.get_running_loop().time() < self._held_until

    async def take(self) -> bool:
        """Create the sentinel; tell whether this claim won.

        Raises:
            BackendUnavailableError: the broker is away; if a claim was made, its lease runs out.
        """
        clock = asyncio.get_running_loop().time
        for attempt in range(_CLAIM_ATTEMPTS):
            if attempt:
                await asyncio.sleep(_PAUSE * 2**attempt)
            sent = clock()
            try:
                won = await self._store.create(self._key, self._value, ttl=self._options.lease_ttl)
                # A refusal may be the work of an earlier attempt of this claim's own.
                known = clock() < sent + self._options.lease if won else not attempt
            except OutcomeUnknownError:
                won = known = False
            if not known:
                # Perhaps it was not executed, or so long ago that another has claimed since.
                value = await self._store.get(self._key)
                if value is None:
                    continue
                won = generation_of(value) == self.generation
                self._value = value if won else self._value
            if won:
                self._held_until = sent + self._options.lease
            return won
        raise BackendUnavailableError(
            "the broker loses its replies: the claim could not be confirmed; try again"
        )

    async def renew(self) -> bool:
        """Extend the lease, or create the sentinel anew if the broker has lost it.

        Returns whether the claim had not been sure to be held any more.

        Raises:
            SupersededError: another generation holds the stream.
            BackendError: the broker is away; try again.
        """
        clock = asyncio.get_running_loop().time
        sent = clock()
        await self._swap(None, self._options.lease_ttl)
        lapsed = clock() >= self._held_until
        self._held_until = sent + self._options.lease
        return lapsed

    async def release(self) -> None:
        """Let go of a claim that nothing was produced under: its key goes within a second."""
        self._held_until = 0.0
        present: str | None = self._value
        for _ in range(_WRITE_ATTEMPTS):
            if present is None or generation_of(present) != self.generation:
                return
            if await self._store.compare_and_set(self._key, present, present, ttl=1):
                return
            present = await self._store.get(self._key)  # TypeScript peers count in it
        raise _restless(self._key)

    async def finish(self, end: int, ending: Ending, served_until: int = 0) -> None:
        """Record the outcome, then turn the sentinel ``DONE``.

        Raises:
            SupersededError: another generation holds the stream; nothing of its was changed.
            BackendError: the broker is away; try again, which is safe at any point.
        """
        await self._record(Outcome(self.generation, end, ending, served_until).encode())
        await self._swap(DONE, self._options.end_ttl)

    async def _swap(self, value: str | None, ttl: int) -> None:
        """Replace the sentinel, which must be this generation's or absent; with None, keep it."""
        present: str | None = self._value
        for _ in range(_WRITE_ATTEMPTS):
            if present is None:
                written = await self._store.create(self._key, value or self._value, ttl=ttl)
            else:
                written = await self._store.compare_and_set(
                    self._key, present, value or present, ttl=ttl
                )
            if written:
                if value is None and present is not None:
                    self._value = present
                return
            present = await self._store.get(self._key)
            if present is None:
                logger.info("the broker lost sentinel %r; creating it again", self._key)
            elif present == value == DONE and await self._recorded():
                return  # an earlier attempt's reply was lost
            elif generation_of(present) != self.generation:
                raise SupersededError
        raise _restless(self._key)

    async def _record(self, record: str) -> None:
        """Write the outcome without ever overwriting a later generation's."""
        ttl = self._options.outcome_ttl
        if await self._store.create(self._outcome_key, record, ttl=ttl):
            return
        for _ in range(_WRITE_ATTEMPTS):
            present = await self._store.get(self._outcome_key)
            if present == record:
                return
            value = await self._store.get(self._key)
            if value == DONE and self._is_mine(present):
                return
            if value is not None and generation_of(value) != self.generation:
                raise SupersededError
            if present is None:
                written = await self._store.create(self._outcome_key, record, ttl=ttl)
            elif value is None:
                await self.renew()  # whose the other record is, only the sentinel can decide
                continue
            else:
                written = await self._store.compare_and_set(
                    self._outcome_key, present, record, ttl=ttl
                )
            if written:
                return
        raise _restless(self._outcome_key)

    async def _recorded(self) -> bool:
        return self._is_mine(await self._store.get(self._outcome_key))

    def _is_mine(self, record: str | None) -> bool:
        """Tell whether the record beside ``DONE`` names no other generation.

        One that cannot be read names none: then the end that this claim is about to tell stands.
        """
        outcome = Outcome.decode(record)
        if outcome is None:
            return record is not None
        return outcome.generation == self.generation


def _restless(key: str) -> BackendUnavailableError:
    return BackendUnavailableError(
        f"the key {key!r} changed each of the {_WRITE_ATTEMPTS} times before it was written to: "
        "try again, and find out what else writes to it"
    )


def ending_of(outcome: Outcome | None) -> Ending:
    """How a stream whose sentinel is ``DONE`` ended; a TypeScript peer leaves no record."""
    return outcome.ending if outcome else Ending(Status.COMPLETED)
