"""The laws of renewing many keys at once, for backends that declare that they can."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from resumable_stream.errors import BackendUnavailableError
from resumable_stream.ports import Renewals
from resumable_stream_conformance._names import ODD_NAMES, ODD_VALUES
from resumable_stream_conformance._suite import SuiteBase, rule
from resumable_stream_conformance._ttl_laws import EXPIRY_SLACK, LONG

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from resumable_stream.ports import Backend

MANY = 300


class RenewalLaws(SuiteBase):
    """What it says that a key was renewed with others, and what that never does."""

    @rule("KV-7", needs="renews_many")
    async def test_renewed_keys_live_on(self) -> None:
        """Keys that hold their value get the new time to live, longer or shorter."""
        here, there = await self.connect_all(2)
        longer = [self.name(f"longer {number}") for number in range(20)]
        shorter = [self.name(f"shorter {number}") for number in range(20)]
        control = self.name("control")
        await _hold(here, longer, ttl=3)
        await _hold(here, shorter, ttl=LONG)
        await here.set(control, "value", ttl=3)
        assert await renew(here, [(key, "value") for key in longer], ttl=LONG) == [True] * 20
        assert await renew(here, [(key, "value") for key in shorter], ttl=1) == [True] * 20
        await _until_gone(there, [*shorter, control])
        assert await asyncio.gather(*map(there.get, longer)) == ["value"] * 20

    @rule("KV-7", needs="renews_many")
    async def test_answers_to_renewals_come_in_order(self) -> None:
        """The answers come in the order asked, for many keys and for none."""
        here, there = await self.connect_all(2)
        keys = [self.name(number) for number in range(MANY)]
        await _hold(here, keys[::3])
        await asyncio.gather(*(there.set(key, "other", ttl=LONG) for key in keys[1::3]))
        renewed = await renew(here, [(key, "value") for key in keys])
        assert [number for number in range(MANY) if renewed[number]] == list(range(0, MANY, 3))
        values = await asyncio.gather(*map(there.get, keys))
        assert values == ["value", "other", None] * (MANY // 3)
        assert await renew(here, []) == []

    @rule("KV-7", "P5", needs="renews_many")
    async def test_renewals_leave_other_values(self) -> None:
        """Another value is left as it is, with its time to live, however similar it is."""
        here, there = await self.connect_all(2)
        key = self.name("guarded")
        for held in ("", "other", "caf\u00e9 ", "Caf\u00e9", "cafe\u0301"):
            await _hold(here, [key], held)
            await there.set(key, "caf\u00e9", ttl=LONG)
            assert await renew(here, [(key, held)]) == [False]
            assert await there.get(key) == "caf\u00e9"
        await _hold(here, [key], "mine")
        await there.set(key, "theirs", ttl=1)
        assert await renew(here, [(key, "mine")]) == [False]
        await _until_gone(there, [key])

    @rule("KV-7", "P5", needs="renews_many")
    async def test_renewals_revive_no_key(self) -> None:
        """A key that has expired, was deleted or never written stays absent."""
        here, there = await self.connect_all(2)
        expired, deleted, never = keys = [self.name(one) for one in ("expired", "deleted", "never")]
        await _hold(here, [deleted])
        await _hold(here, [expired], ttl=1)
        await there.delete(deleted)
        await _until_gone(there, [expired])
        assert await renew(here, [(key, "value") for key in keys]) == [False] * 3
        assert await renew(here, [(never, "")]) == [False]
        assert await asyncio.gather(*map(there.get, keys)) == [None] * 3

    @rule("KV-7", "P5", needs="renews_many")
    async def test_renewals_overwrite_no_concurrent_write(self) -> None:
        """A write that comes while keys are renewed stands, and so does a deletion."""
        here, there = await self.connect_all(2)
        keys = [self.name(number) for number in range(60)]
        for turn in range(5):
            mine, theirs = f"mine {turn}", f"theirs {turn}"
            await asyncio.gather(*(here.set(key, mine, ttl=LONG) for key in keys))
            entries = [(key, mine) for key in keys]
            renewals = [asyncio.ensure_future(renew(here, entries)) for _ in range(10)]
            taken = await asyncio.gather(
                *(there.compare_and_set(key, mine, theirs, ttl=LONG) for key in keys[:30]),
            )
            await asyncio.gather(*map(there.delete, keys[30:]))
            assert all(taken)
            assert await renew(here, entries) == [False] * 60
            await asyncio.gather(*renewals)
            assert await asyncio.gather(*map(there.get, keys)) == [theirs] * 30 + [None] * 30

    @rule("KV-7", "BE-4", needs="renews_many")
    async def test_odd_keys_and_values_are_renewed(self) -> None:
        """Any text is a key or a value here, too."""
        here = await self.connect()
        entries = [(self.name(odd), f"value {n}") for n, odd in enumerate(ODD_NAMES)]
        entries += [(self.name(f"value {n}"), odd) for n, odd in enumerate(ODD_VALUES)]
        for key, value in entries:
            await _hold(here, [key], value)
        assert await renew(here, entries) == [True] * len(entries)
        wrong = [(key, value + "!") for key, value in entries]
        assert await renew(here, wrong) == [False] * len(entries)
        assert [await here.get(key) for key, _ in entries] == [value for _, value in entries]

    @rule("KV-7", "BE-3", "BE-5", needs="renews_many")
    async def test_renewals_are_cancellable(self) -> None:
        """A cancelled call leaves later ones their own answers; a closed backend takes none."""
        here = await self.connect()
        mine, never = self.name("mine"), self.name("never")
        await _hold(here, [mine])
        for turn in range(20):
            cut_short = asyncio.ensure_future(renew(here, [(never, "value")] * 3))
            for _ in range(turn % 5):
                await asyncio.sleep(0)
            cut_short.cancel()
            assert await renew(here, [(mine, "value"), (never, "value")]) == [True, False]
            await asyncio.wait({cut_short})
        await here.aclose()
        with pytest.raises(BackendUnavailableError):
            await renew(here, [(mine, "value")])


async def renew(
    backend: Backend, entries: Sequence[tuple[str, str]], *, ttl: int = LONG
) -> list[bool]:
    assert isinstance(backend, Renewals), "renews_many needs renew_many()"
    return list(await backend.renew_many(entries, ttl=ttl))


async def _hold(
    backend: Backend, keys: Iterable[str], value: str = "value", *, ttl: int = LONG
) -> None:
    """Write the keys as a producer does: from then on the backend is able to renew them."""

    async def hold(key: str) -> None:
        await backend.delete(key)
        assert await backend.create(key, value, ttl=ttl)
        assert await backend.compare_and_set(key, value, value, ttl=ttl)

    await asyncio.gather(*map(hold, keys))


async def _until_gone(backend: Backend, keys: Iterable[str]) -> None:
    started = time.monotonic()
    for key in keys:
        while await backend.get(key) is not None:
            waited = time.monotonic() - started
            assert waited < 3 + EXPIRY_SLACK, f"{key!r} is still there after {waited:.1f} s"
            await asyncio.sleep(0.05)
