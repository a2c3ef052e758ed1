from __future__ import annotations

import asyncio
import gc
import threading

import pytest

from resumable_stream import BackendUnavailableError, Journal, OpenedJournal
from resumable_stream_memory import MemoryBackend, MemoryJournal, open_journal
from resumable_stream_memory._bus import _buses
from support.virtual_time import in_virtual_time, loop_time


def kept(journal: MemoryJournal) -> int:
    assert journal._bus is not None
    return len(journal._bus.logs._logs)


def test_it_is_a_journal() -> None:
    assert isinstance(MemoryJournal(), OpenedJournal)
    assert isinstance(MemoryBackend().journal, Journal)


async def test_backends_and_journals_of_one_name_share_their_logs() -> None:
    backend, by_url, other = MemoryBackend("kept"), open_journal("memory://kept"), MemoryJournal()
    assert await backend.journal.append("log", 0, b"zero", ttl=60) is True
    assert await by_url.read("log", 0, max_bytes=1) == [b"zero"]
    assert await other.read("log", 0, max_bytes=1) == []


async def test_the_bus_stays_until_its_last_journal_goes() -> None:
    backend, journal = MemoryBackend("shared logs"), MemoryJournal("shared logs")
    await backend.journal.append("log", 0, b"zero", ttl=60)
    await backend.aclose()
    with pytest.raises(BackendUnavailableError, match="was closed; open another one"):
        await backend.journal.read("log", 0, max_bytes=1)
    assert await journal.read("log", 0, max_bytes=1) == [b"zero"]
    await journal.aclose()
    assert "shared logs" not in _buses


def test_a_forgotten_backend_keeps_no_bus() -> None:
    backend = MemoryBackend("forgotten logs")
    assert "forgotten logs" in _buses
    del backend
    gc.collect()
    assert "forgotten logs" not in _buses


async def test_a_closed_backend_keeps_no_bus_although_a_reader_does() -> None:
    backend = MemoryBackend("still held")
    held = await backend.subscribe("channel", lambda _message: None, lambda _loss: None)
    await backend.journal.append("log", 0, b"zero", ttl=60)
    await backend.aclose()
    fresh = MemoryBackend("still held")
    assert await fresh.journal.read("log", 0, max_bytes=9) == []
    await held.aclose()


@in_virtual_time
async def test_a_log_stays_whole_until_its_longest_time_is_over() -> None:
    journal = MemoryBackend("log expiry", clock=loop_time).journal
    for index, ttl in enumerate((10, 30, 20)):
        assert await journal.append("log", index, b"%d" % index, ttl=ttl) is True
    await asyncio.sleep(29.9)
    assert await journal.read("log", 0, max_bytes=9) == [b"0", b"1", b"2"]
    await asyncio.sleep(0.2)
    assert await journal.read("log", 0, max_bytes=9) == []
    assert kept(journal) == 0
    assert await journal.append("log", 0, b"new", ttl=1) is True


@in_virtual_time
async def test_expired_logs_take_no_room_for_ever() -> None:
    journal = MemoryJournal("log sweep", clock=loop_time)
    for number in range(3_000):
        await journal.append(str(number), 0, b"text", ttl=1)
        await asyncio.sleep(0.01)
    # A hundred are alive at a time.
    assert kept(journal) <= 250


@in_virtual_time
async def test_living_logs_hide_no_expired_one() -> None:
    journal = MemoryJournal("log mixture", clock=loop_time)
    for number in range(400):
        await journal.append(str(number), 0, b"text", ttl=1 if number % 2 else 1000)
    await asyncio.sleep(2)
    for index in range(1, 201):
        await journal.append("0", index, b"text", ttl=1000)
    assert kept(journal) == 200


@pytest.mark.rule("JN-1")
def test_appends_of_several_threads_have_one_winner() -> None:
    started = threading.Barrier(4)
    won: list[tuple[int, bytes]] = []

    async def append(who: bytes) -> None:
        journal = MemoryJournal("threads")
        started.wait(10)
        won.extend([(n, who) for n in range(300) if await journal.append("log", n, who, ttl=60)])

    witness = MemoryJournal("threads")
    threads = [
        threading.Thread(target=lambda who=who: asyncio.run(append(who)))
        for who in (b"a", b"b", b"c", b"d")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    found = asyncio.run(witness.read("log", 0, max_bytes=10**6))
    assert sorted(won) == list(enumerate(found))
    assert len(found) == len(won) == 300
