"""The laws of KeyValue's time to live."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, NamedTuple

from resumable_stream_conformance._suite import SuiteBase, rule

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from resumable_stream.ports import KeyValue

LONG = 600
# How late a key may expire after its time to live: brokers sweep, machines are busy.
EXPIRY_SLACK = 5.0


class TimeToLiveLaws(SuiteBase):
    """How long KeyValue promises that a key lives."""

    @rule("KV-5", needs="expiry")
    async def test_key_lives_its_time(self) -> None:
        """A key lives at least its time to live, whichever method wrote it."""
        backend = await self.connect()
        for key in await self._written_each_way(backend, ttl=1, watch=1):
            assert key.lived >= 1, f"a key with ttl=1 was gone after {key.lived:.2f} s"

    @rule("KV-5", needs="expiry")
    async def test_key_expires_soon_after(self) -> None:
        """A key is gone soon after its time to live, whichever method wrote it."""
        backend = await self.connect()
        for key in await self._written_each_way(backend, ttl=1, watch=1 + EXPIRY_SLACK):
            assert key.gone, f"a key with ttl=1 is there after {key.lived:.2f} s"

    @rule("KV-5", needs="expiry")
    async def test_expired_key_is_absent(self) -> None:
        """An expired key can be created again, and ``compare_and_set`` does not find it."""
        here, there = await self.connect_all(2)
        key = self.name("again")
        await here.set(key, "first", ttl=1)
        await _until_gone(here, key)
        assert await there.compare_and_set(key, "first", "wrong", ttl=LONG) is False
        assert await there.create(key, "second", ttl=LONG) is True
        assert await here.get(key) == "second"

    @rule("KV-3", "KV-5", needs="expiry")
    async def test_writing_again_renews(self) -> None:
        """``set``, and ``compare_and_set`` to the same value, give the key a new time to live."""
        here, there = await self.connect_all(2)
        renewed, rewritten, control = map(self.name, ("renewed", "rewritten", "control"))
        for key in (renewed, rewritten, control):
            await here.set(key, "value", ttl=2)
        assert await there.compare_and_set(renewed, "value", "value", ttl=LONG) is True
        await there.set(rewritten, "value", ttl=LONG)
        await _until_gone(here, control)
        assert await here.get(renewed) == "value"
        assert await here.get(rewritten) == "value"

    @rule("KV-5", needs="expiry")
    async def test_last_write_sets_the_time(self) -> None:
        """A shorter time to live replaces a longer one; a refused write leaves it as it was."""
        backend = await self.connect()
        shortened, compared, refused = map(self.name, ("shortened", "compared", "refused"))
        for key in (shortened, compared):
            await backend.set(key, "value", ttl=LONG)
        await backend.set(refused, "value", ttl=1)
        await backend.set(shortened, "value", ttl=1)
        await backend.compare_and_set(compared, "value", "value", ttl=1)
        await backend.create(refused, "late", ttl=LONG)
        await backend.compare_and_set(refused, "other", "late", ttl=LONG)
        for key in (shortened, compared, refused):
            await _until_gone(backend, key)

    async def _written_each_way(
        self, backend: KeyValue, *, ttl: int, watch: float
    ) -> list[_Lifetime]:
        """Write a key with each method, and watch how long each lives."""
        keys = [self.name(number) for number in range(3)]
        await backend.set(keys[2], "before", ttl=LONG)
        writes: list[Callable[[], Awaitable[object]]] = [
            lambda: backend.set(keys[0], "value", ttl=ttl),
            lambda: backend.create(keys[1], "value", ttl=ttl),
            lambda: backend.compare_and_set(keys[2], "before", "value", ttl=ttl),
        ]
        return await asyncio.gather(
            *(_live(backend, key, write, watch) for key, write in zip(keys, writes, strict=True))
        )


class _Lifetime(NamedTuple):
    lived: float
    gone: bool


async def _live(
    backend: KeyValue, key: str, write: Callable[[], Awaitable[object]], watch: float
) -> _Lifetime:
    written = time.monotonic()
    await write()
    while True:
        value = await backend.get(key)
        lived = time.monotonic() - written
        if value is None or lived > watch:
            return _Lifetime(lived, gone=value is None)
        await asyncio.sleep(0.05)


async def _until_gone(backend: KeyValue, key: str) -> None:
    __tracebackhide__ = True
    started = time.monotonic()
    while await backend.get(key) is not None:
        waited = time.monotonic() - started
        assert waited < 2 + EXPIRY_SLACK, f"the key is still there after {waited:.1f} s"
        await asyncio.sleep(0.05)
