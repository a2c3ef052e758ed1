"""The laws of KeyValue: linearizable keys and atomic claims."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

from resumable_stream_conformance._names import ODD_NAMES, ODD_VALUES
from resumable_stream_conformance._suite import SuiteBase, rule

if TYPE_CHECKING:
    from resumable_stream.ports import KeyValue

LONG = 600


class KeyValueLaws(SuiteBase):
    """What KeyValue promises, besides the time that a key lives."""

    @rule("KV-1")
    async def test_write_is_seen_everywhere(self) -> None:
        """A read that starts after a write has returned sees it, from any adapter."""
        here, there = await self.connect_all(2)
        key = self.name("seen")
        for number in range(100):
            await here.set(key, str(number), ttl=LONG)
            assert await there.get(key) == str(number)

    @rule("KV-1")
    async def test_missing_key_reads_none(self) -> None:
        """A key that was never written is None."""
        backend = await self.connect()
        assert await backend.get(self.name("never")) is None

    @rule("KV-1")
    async def test_set_replaces_the_value(self) -> None:
        """``set`` replaces whatever was there."""
        here, there = await self.connect_all(2)
        key = self.name("replaced")
        await here.create(key, "first", ttl=LONG)
        await there.set(key, "second", ttl=LONG)
        assert await here.get(key) == "second"

    @rule("KV-1")
    async def test_concurrent_calls_keep_apart(self) -> None:
        """Calls that overlap on one adapter each get the answer to their own question."""
        backend = await self.connect()
        keys = {self.name(number): str(number) for number in range(100)}
        await asyncio.gather(*(backend.set(key, value, ttl=LONG) for key, value in keys.items()))
        assert await asyncio.gather(*map(backend.get, keys)) == list(keys.values())

    @rule("KV-1")
    async def test_writes_never_go_back(self) -> None:
        """While one adapter counts up, no other reads a smaller number than it read before."""
        writer, *readers = await self.connect_all(3)
        key = self.name("counter")
        await writer.set(key, "0", ttl=LONG)
        counting = asyncio.ensure_future(_count_up(writer, key, 200))
        try:
            await asyncio.gather(*(_watch_rise(reader, key, 200) for reader in readers))
        finally:
            counting.cancel()
            await asyncio.wait([counting])

    @rule("KV-2", "P5", needs="atomic_create")
    async def test_create_has_one_winner(self) -> None:
        """Of any number of concurrent ``create`` calls exactly one writes, and its value stays."""
        backends = await self.connect_all(4)
        for turn in range(25):
            key = self.name(turn)
            claims = [(f"{turn}-{n}", backend) for n, backend in enumerate(backends * 4)]
            random.Random(turn).shuffle(claims)
            written = await asyncio.gather(*(b.create(key, value, ttl=LONG) for value, b in claims))
            winners = [value for (value, _), won in zip(claims, written, strict=True) if won]
            assert len(winners) == 1, f"{len(winners)} of 16 concurrent creates wrote"
            assert {await b.get(key) for b in backends} == set(winners)

    @rule("KV-2", needs="atomic_create")
    async def test_create_refuses_taken_key(self) -> None:
        """``create`` on a key that is there writes nothing and says so."""
        here, there = await self.connect_all(2)
        for number, value in enumerate(("", "taken")):
            key = self.name(number)
            assert await here.create(key, value, ttl=LONG) is True
            assert await there.create(key, "late", ttl=LONG) is False
            assert await there.get(key) == value

    @rule("KV-3", "P5", needs="atomic_compare_and_set")
    async def test_compare_and_set_has_one_winner(self) -> None:
        """Of any number of concurrent ``compare_and_set`` from one value exactly one writes."""
        backends = await self.connect_all(4)
        key = self.name("contended")
        await backends[0].set(key, "start", ttl=LONG)
        present = "start"
        for turn in range(25):
            values = [f"{turn}-{n}" for n in range(16)]
            written = await asyncio.gather(
                *(
                    backend.compare_and_set(key, present, value, ttl=LONG)
                    for value, backend in zip(values, backends * 4, strict=True)
                )
            )
            winners = [value for value, won in zip(values, written, strict=True) if won]
            assert len(winners) == 1, f"{len(winners)} of 16 concurrent compare_and_set wrote"
            assert {await b.get(key) for b in backends} == set(winners)
            present = winners[0]

    @rule("KV-3", needs="atomic_compare_and_set")
    async def test_compare_and_set_loses_no_update(self) -> None:
        """Counting up by read and ``compare_and_set`` from everywhere misses no count."""
        backends = await self.connect_all(4)
        key = self.name("count")
        await backends[0].set(key, "0", ttl=LONG)
        await asyncio.gather(*(_add(backend, key, 10) for backend in backends * 2))
        assert await backends[0].get(key) == "80"

    @rule("KV-3", needs="atomic_compare_and_set")
    async def test_compare_and_set_refuses_other_value(self) -> None:
        """``compare_and_set`` expecting any other value, even a similar one, writes nothing."""
        here, there = await self.connect_all(2)
        key = self.name("guarded")
        await here.set(key, "caf\u00e9", ttl=LONG)
        for expected in ("", "other", "caf\u00e9 ", "Caf\u00e9", "cafe\u0301"):
            assert await there.compare_and_set(key, expected, "wrong", ttl=LONG) is False
            assert await here.get(key) == "caf\u00e9"

    @rule("KV-3", needs="atomic_compare_and_set")
    async def test_compare_and_set_refuses_absent_key(self) -> None:
        """``compare_and_set`` never creates a key."""
        backend = await self.connect()
        for number, expected in enumerate(("", "None", "value")):
            key = self.name(number)
            assert await backend.compare_and_set(key, expected, "wrong", ttl=LONG) is False
            assert await backend.get(key) is None

    @rule("KV-4")
    async def test_delete_removes_the_key(self) -> None:
        """A deleted key is gone everywhere, and can be created again at once."""
        here, there = await self.connect_all(2)
        key = self.name("deleted")
        for turn in range(20):
            assert await here.create(key, str(turn), ttl=LONG) is True
            await there.delete(key)
            assert await here.get(key) is None

    @rule("KV-4")
    async def test_delete_of_missing_key_is_quiet(self) -> None:
        """``delete`` of an absent key raises nothing, even twice."""
        backend = await self.connect()
        key = self.name("never")
        await backend.delete(key)
        await backend.delete(key)

    @rule("KV-6")
    async def test_values_come_back_unchanged(self) -> None:
        """A value is any text, even the empty text, and is read back as it was written."""
        here, there = await self.connect_all(2)
        for number, value in enumerate(ODD_VALUES):
            key = self.name(number)
            await here.set(key, value, ttl=LONG)
            assert await there.get(key) == value
            assert await there.compare_and_set(key, value, value + "!", ttl=LONG) is True
            assert await here.get(key) == value + "!"

    @rule("BE-4")
    async def test_odd_keys_stay_apart(self) -> None:
        """Any text of up to 1,024 characters is a key, and reaches no other key."""
        here, there = await self.connect_all(2)
        keys = {self.name(odd): f"value {n}" for n, odd in enumerate(ODD_NAMES)}
        for key, value in keys.items():
            assert await here.create(key, value, ttl=LONG) is True, f"{key!r} was taken"
        assert dict(zip(keys, await asyncio.gather(*map(there.get, keys)), strict=True)) == keys

    @rule("BE-4")
    async def test_odd_key_deletes_itself_only(self) -> None:
        """Deleting a key whose name is a wildcard in some broker deletes that key alone."""
        backend = await self.connect()
        wild = [self.name(odd) for odd in ODD_NAMES if set(odd) & set("*>?[.")]
        tame = [self.name(f"tame.{n}") for n in range(3)]
        for key in (*wild, *tame):
            await backend.set(key, "value", ttl=LONG)
        while wild:
            await backend.delete(wild.pop())
            assert await backend.get(tame[0]) == "value"
            assert all([await backend.get(key) == "value" for key in wild[-3:]])
        assert [await backend.get(key) for key in tame] == ["value"] * 3


async def _count_up(backend: KeyValue, key: str, last: int) -> None:
    for number in range(1, last + 1):
        await backend.set(key, str(number), ttl=LONG)


async def _watch_rise(backend: KeyValue, key: str, last: int) -> None:
    seen = 0
    while seen < last:
        value = await backend.get(key)
        assert value is not None
        assert int(value) >= seen, f"read {value} after {seen}"
        seen = int(value)


async def _add(backend: KeyValue, key: str, times: int) -> None:
    while times:
        value = await backend.get(key)
        assert value is not None
        times -= await backend.compare_and_set(key, value, str(int(value) + 1), ttl=LONG)
