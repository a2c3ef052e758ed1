"""A journal that breaks its contract costs text, and never makes a wrong one look right."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from resumable_stream import BackendError, ResumableStream, StreamError
from support.journals import Notebook, journaled
from support.virtual_time import run_in_virtual_time
from support.world import ID, Source, world

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from support.world import World

CHUNKS = [f"<{number}>" * 60 for number in range(40)]
# How many chunks are in each record, so that there are several.
STEP = 5


class Liar:
    """Stands before a journal; each subclass tells one lie."""

    def __init__(self, journal: Notebook) -> None:
        self._journal = journal
        self.calls = 0

    @property
    def max_record_size(self) -> int:
        return self._journal.max_record_size

    async def append(self, log: str, index: int, record: bytes, *, ttl: int) -> bool:
        self.calls += 1
        return await self._journal.append(log, index, record, ttl=ttl)

    async def read(self, log: str, index: int, *, max_bytes: int) -> Sequence[bytes] | None:
        self.calls += 1
        return await self._journal.read(log, index, max_bytes=max_bytes)

    async def delete(self, log: str) -> None:
        await self._journal.delete(log)

    async def aclose(self) -> None:
        await self._journal.aclose()


class ReadsLater(Liar):
    async def read(self, log: str, index: int, *, max_bytes: int) -> Sequence[bytes] | None:
        return await super().read(log, index + 1, max_bytes=max_bytes)


class ReadsEarlier(Liar):
    async def read(self, log: str, index: int, *, max_bytes: int) -> Sequence[bytes] | None:
        return await super().read(log, max(0, index - 1), max_bytes=max_bytes)


class NeverEnds(Liar):
    """Gives its last record again for every index after it."""

    async def read(self, log: str, index: int, *, max_bytes: int) -> Sequence[bytes] | None:
        self.calls += 1
        for at in range(min(index, 99), -1, -1):
            if found := await self._journal.read(log, at, max_bytes=max_bytes):
                return found[:1] if at < index else found
        return []


class AlwaysTheFirst(Liar):
    async def read(self, log: str, index: int, *, max_bytes: int) -> Sequence[bytes] | None:
        return await super().read(log, 0, max_bytes=1)


class Reverses(Liar):
    async def read(self, log: str, index: int, *, max_bytes: int) -> Sequence[bytes] | None:
        return (await super().read(log, index, max_bytes=max_bytes) or [])[::-1]


class Truncates(Liar):
    async def read(self, log: str, index: int, *, max_bytes: int) -> Sequence[bytes] | None:
        found = await super().read(log, index, max_bytes=max_bytes) or []
        return [record[:-1] for record in found]


class IsEmpty(Liar):
    async def read(self, log: str, index: int, *, max_bytes: int) -> Sequence[bytes] | None:
        await super().read(log, index, max_bytes=max_bytes)
        return []


class HasLostAll(Liar):
    async def read(self, log: str, index: int, *, max_bytes: int) -> Sequence[bytes] | None:
        await super().read(log, index, max_bytes=max_bytes)
        return None


class GivesAnothers(Liar):
    async def read(self, log: str, index: int, *, max_bytes: int) -> Sequence[bytes] | None:
        return await super().read(f"{log}-other", index, max_bytes=max_bytes)

    async def append(self, log: str, index: int, record: bytes, *, ttl: int) -> bool:
        other = record.replace(ID.encode(), ID.encode() + b"-other")
        await super().append(f"{log}-other", index, other, ttl=ttl)
        return await super().append(log, index, record, ttl=ttl)


class Forgets(Liar):
    """Says that each second record was written."""

    async def append(self, log: str, index: int, record: bytes, *, ttl: int) -> bool:
        return True if index % 2 else await super().append(log, index, record, ttl=ttl)


class WritesElsewhere(Liar):
    async def append(self, log: str, index: int, record: bytes, *, ttl: int) -> bool:
        return await super().append(log, index + (index > 1), record, ttl=ttl)


class Refuses(Liar):
    async def append(self, log: str, index: int, record: bytes, *, ttl: int) -> bool:
        await super().append(f"{log}-aside", index, record, ttl=ttl)
        return False


class RefusesWhatItWrites(Liar):
    async def append(self, log: str, index: int, record: bytes, *, ttl: int) -> bool:
        await super().append(log, index, record, ttl=ttl)
        return False


LIARS = [
    ReadsLater,
    ReadsEarlier,
    NeverEnds,
    AlwaysTheFirst,
    Reverses,
    Truncates,
    IsEmpty,
    HasLostAll,
    GivesAnothers,
    Forgets,
    WritesElsewhere,
    Refuses,
    RefusesWhatItWrites,
]


def lying(here: World, durability: str, lie: Callable[[Notebook], Liar], **options: Any) -> Any:
    context, broker, notebook = journaled(here, durability, **options)
    liar = lie(notebook)
    instance = context._binding.get()
    instance.shared.journal = liar
    return context, broker, liar


async def read(stream: object) -> tuple[list[str], Exception | None]:
    """Return the chunks and how they end."""
    chunks: list[str] = []
    assert isinstance(stream, ResumableStream)
    try:
        async for chunk in stream:
            chunks.append(chunk)  # noqa: PERF401 - what came before the error is kept
    except (StreamError, BackendError) as error:
        return chunks, error
    return chunks, None


async def get(context: Any, offset: int = 0) -> tuple[list[str], Exception | None] | None:
    """Return what a reader gets, or None if it is told that there is nothing."""
    try:
        stream = await context.resume_existing_stream(ID, offset)
    except (StreamError, BackendError) as error:
        return [], error
    return await read(stream) if stream else None


def check(got: tuple[list[str], Exception | None] | None, whole: list[str]) -> None:
    if got is None:
        return
    chunks, error = got
    assert chunks == whole[: len(chunks)]
    if error is None:
        assert chunks == whole, "some of the text looks like all of it"


@pytest.mark.rule("P12", "JNL-6")
@pytest.mark.parametrize("durability", ["exit", "async", "sync"])
@pytest.mark.parametrize("lie", LIARS)
def test_no_lie_makes_a_wrong_text_look_right(lie: type[Liar], durability: str) -> None:
    async def run() -> None:
        async with world() as here:
            context, _, liar = lying(here, durability, lie, outage_timeout=10)
            other, _, _ = lying(here, durability, lie, outage_timeout=10)
            source = Source()
            stream = await context.create_new_resumable_stream(ID, source)
            own = asyncio.create_task(read(stream))
            beside = asyncio.create_task(get(other))
            for number, chunk in enumerate(CHUNKS):
                source.put(chunk)
                if number % STEP == 0:
                    await asyncio.sleep(1.5)
            source.finish()
            for task in (own, beside):
                check(await task, CHUNKS)
            await asyncio.sleep(20)
            for reader in (context, other):
                check(await get(reader), CHUNKS)
                check(await get(reader, len(CHUNKS[0])), CHUNKS[1:])
            assert liar.calls < 10_000

    run_in_virtual_time(run(), limit=5)


@pytest.mark.rule("P12", "JNL-5")
@pytest.mark.parametrize("lie", LIARS)
def test_a_lie_about_what_a_dead_producer_left_ends(lie: type[Liar]) -> None:
    async def run() -> None:
        async with world() as here:
            context, broker, notebook = journaled(here, "sync")
            source = Source()
            await context.create_new_resumable_stream(ID, source)
            for chunk in CHUNKS[:20]:
                source.put(chunk)
                await asyncio.sleep(0.1)
            broker.away = notebook.away = True
            await asyncio.sleep(60)
            other, _, liar = lying(here, "sync", lie, outage_timeout=10)
            check(await get(other), CHUNKS)
            got: Any
            try:
                got = await read(await other.resumable_stream(ID, Source))
            except (StreamError, BackendError) as error:
                got = [], error
            assert got[0] == CHUNKS[: len(got[0])]
            assert liar.calls < 10_000

    run_in_virtual_time(run(), limit=5)
