"""One producer's hold on a stream id."""

from __future__ import annotations

import asyncio
import logging
import secrets
from typing import TYPE_CHECKING

from resumable_stream._backoff import Backoff
from resumable_stream._protocol.lineage import Lineage
from resumable_stream._protocol.sentinel import (
    DONE,
    FOREIGN_BITS,
    Outcome,
    Running,
    generation_of,
    left_in,
)
from resumable_stream.errors import BackendUnavailableError, OutcomeUnknownError

if TYPE_CHECKING:
    from resumable_stream._protocol.names import Names
    from resumable_stream._shared import Shared
    from resumable_stream._text.endings import Ending

logger = logging.getLogger("resumable_stream")

_GENERATION_BITS = 33

# How often a write of unknown outcome is looked up and repeated before it is given up.
_CLAIM_ATTEMPTS = 5
_FIRST_PAUSE = 0.1
# How often to look and write again while somebody else changes the key in between.
_WRITE_ATTEMPTS = 32


class SupersededError(Exception):
    """Another generation holds the sentinel."""


class Claim:
    """One producer's hold on a stream id: taken, renewed and given up by atomic writes only.

    The sentinel's value is this claim's own token, so a write whose reply was lost is looked up and
    never repeated blindly.
    """

    __slots__ = (
        "_held_until",
        "_key",
        "_names",
        "_options",
        "_outcome",
        "_pointer",
        "_store",
        "_stream_id",
        "_value",
        "generation",
        "lineage",
    )

    def __init__(self, stream_id: str, shared: Shared) -> None:
        self.generation = 1 + secrets.randbelow(2**_GENERATION_BITS - 1)
        self.lineage = Lineage()
        self._store = shared.backend
        self._key = shared.names.sentinel(stream_id)
        self._names: Names = shared.names
        self._stream_id = stream_id
        self._value = str(self.generation << FOREIGN_BITS)
        self._outcome: Outcome | None = None  # what is being recorded
        self._options = shared.options
        self._held_until = 0.0
        self._pointer: str | None = None  # what stands in the outcome's place, if this wrote it

    @property
    def held(self) -> bool:
        """Whether nobody else can have taken the stream yet, by this instance's own clock."""
        return asyncio.get_running_loop().time() < self._held_until

    @property
    def _outcome_key(self) -> str:
        return self._names.outcome(self._stream_id)  # held by no stream that runs

    @property
    def entry(self) -> tuple[str, str]:
        """The sentinel's key, and the value that it has while this claim holds it."""
        return self._key, self._value

    async def take(self, ended: str | None = None) -> bool:
        """Create the sentinel; tell whether this claim won.

        With ``ended``, which is ``DONE``, it replaces that: the stream goes on.

        Raises:
            BackendUnavailableError: the broker is away. If the claim was made all the same, it ends
                with its lease.
        """
        clock, backoff = asyncio.get_running_loop().time, Backoff(_FIRST_PAUSE)
        for attempt in range(_CLAIM_ATTEMPTS):
            if attempt:
                await asyncio.sleep(backoff.next())
            sent = clock()
            try:
                won = await self._begin(ended)
                # From the second attempt on, the refusal may be due to an earlier one.
                known = clock() < sent + self._options.lease if won else not attempt
            except OutcomeUnknownError:
                won = known = False
            if not known:
                # The write may not have been executed, or its lease may have run out since.
                value = await self._store.get(self._key)
                if value == ended:
                    continue
                won = value is not None and generation_of(value) == self.generation
                if won and value is not None:
                    self._value = value
            if won:
                self._held_until = sent + self._options.lease
            return won
        raise BackendUnavailableError(
            "the broker loses its replies: the claim could not be confirmed; try again"
        )

    async def _begin(self, ended: str | None) -> bool:
        key, value, ttl = self._key, self._value, self._options.lease_ttl
        if ended is None:
            return await self._store.create(key, value, ttl=ttl)
        return await self._store.compare_and_set(key, ended, value, ttl=ttl)

    async def renew(self) -> bool:
        """Extend the lease, or create the sentinel again if the broker has lost it.

        Return whether the lease may have run out before.

        Raises:
            SupersededError: another generation holds the stream.
            BackendError: the broker is away; try again.
        """
        sent = asyncio.get_running_loop().time()
        await self._swap(None, self._options.lease_ttl)
        return self.renewed(sent)

    def renewed(self, sent: float) -> bool:
        """Count the lease from a renewal that was sent at this time, and has been made.

        Return whether the lease may have run out before.
        """
        lapsed = asyncio.get_running_loop().time() >= self._held_until
        self._held_until = sent + self._options.lease
        return lapsed

    async def release(self) -> None:
        """Give up a claim under which nothing was produced: its key expires within a second."""
        self._held_until = 0.0
        present: str | None = self._value
        for _ in range(_WRITE_ATTEMPTS):
            if present is None or generation_of(present) != self.generation:
                return
            if await self._store.compare_and_set(self._key, present, present, ttl=1):
                return
            present = await self._store.get(self._key)  # TypeScript peers count in the value
        raise _restless(self._key)

    async def point(self, kept_until: int) -> None:
        """Say where the outcome will be that this run writes its text to the journal.

        Raises:
            SupersededError: another generation holds the stream; its keys were not changed.
            BackendError: the broker is away; try again, which is safe at any point.
        """
        options = self._options
        present = await self._store.get(self._key)
        if present is None:
            await self.renew()  # a pointer without a sentinel would say that the producer is dead
        elif generation_of(present) != self.generation:
            raise SupersededError
        retention = options.retention_ttl
        pointer = Running(self.generation, kept_until, retention, self.lineage).encode()
        await self._record(pointer, options.pointer_ttl)
        self._pointer = pointer

    async def left_behind(self) -> Running | Outcome | None:
        """Return what a producer before this one says of text in the journal, if that is kept.

        Raises:
            BackendError: the broker is away.
        """
        left = left_in(await self._store.get(self._outcome_key))
        return None if left is None or left.generation == self.generation else left

    async def finish(
        self, end: int, ending: Ending, served_until: int = 0, kept_until: int = 0
    ) -> None:
        """Record the outcome, then turn the sentinel ``DONE``.

        Raises:
            SupersededError: another generation holds the stream; its keys were not changed.
            BackendError: the broker is away; try again, which is safe at any point.
        """
        outcome = Outcome(self.generation, end, ending, served_until, kept_until, self.lineage)
        await self.bury(outcome)

    async def bury(self, outcome: Outcome) -> None:
        """As ``finish``, for an outcome that may be that of a dead producer before this one."""
        self._outcome = outcome
        await self._record(outcome.encode(), self._options.outcome_ttl)
        await self._swap(DONE, self._options.end_ttl)

    async def _swap(self, value: str | None, ttl: int) -> None:
        """Replace the sentinel, which must be this generation's or absent; with None, renew it."""
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

    async def _record(self, record: str, ttl: int) -> None:
        """Write the outcome without ever overwriting a later generation's."""
        key, pointer = self._outcome_key, self._pointer
        if pointer is None:
            written = await self._store.create(key, record, ttl=ttl)
        else:
            written = await self._store.compare_and_set(key, pointer, record, ttl=ttl)
        if written:
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
                await self.renew()  # only the sentinel tells whose the other record is
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
        """Tell whether the record beside ``DONE`` says what is being recorded.

        One that cannot be read names no successor, and the end that this claim is about to tell
        stands. One of this generation that says another end was written by who took it for dead.
        """
        there, mine = Outcome.decode(record), self._outcome
        if there is None or mine is None:
            return record is not None and mine is not None
        return (there.generation, there.end, there.ending.status) == (
            mine.generation,
            mine.end,
            mine.ending.status,
        )


def _restless(key: str) -> BackendUnavailableError:
    return BackendUnavailableError(
        f"the key {key!r} changed each of the {_WRITE_ATTEMPTS} times before it was written to: "
        "try again, and find out what else writes to it"
    )
