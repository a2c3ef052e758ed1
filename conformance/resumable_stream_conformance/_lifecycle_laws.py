"""The laws of a backend's life: it opens lazily, may be cancelled, and closes only itself."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TYPE_CHECKING

import pytest

from resumable_stream.errors import BackendUnavailableError
from resumable_stream.ports import Backend
from resumable_stream_conformance._process import other_process
from resumable_stream_conformance._recorder import PATIENCE, Recorder
from resumable_stream_conformance._suite import SuiteBase, rule

if TYPE_CHECKING:
    from collections.abc import Callable

LONG = 600
END = b"end of test"


class LifecycleLaws(SuiteBase):
    """What a backend promises as a whole."""

    @rule("BE-0")
    async def test_lacks_no_base_capability(self) -> None:
        """A backend has every base capability; without one it does not conform."""
        missing = ", ".join(self.capabilities.missing_base)
        assert not missing, f"declares that it lacks what the protocol stands on: {missing}"

    @rule("BE-0")
    async def test_has_every_method(self) -> None:
        """A backend has the methods of both ports and ``aclose``."""
        assert isinstance(await self.connect(), Backend)

    @rule("BE-1")
    async def test_opens_without_a_loop(self) -> None:
        """A backend can be created where no event loop runs, and used in one afterwards."""
        # A new thread has no loop, like the import of a module.
        opened = await asyncio.to_thread(self.open)
        backend = self.keep(await opened if isinstance(opened, Awaitable) else opened)
        recorder = Recorder()
        await backend.set(self.name("key"), "value", ttl=LONG)
        await recorder.subscribe(backend, self.name("channel"))
        await backend.publish(self.name("channel"), END)
        await recorder.until_received(END)
        assert await backend.get(self.name("key")) == "value"

    @rule("BE-1")
    async def test_first_calls_may_overlap(self) -> None:
        """The first calls on a backend may be made at the same time."""
        backend = await self.connect()
        recorder = Recorder()
        await asyncio.gather(
            *(backend.set(self.name(n), str(n), ttl=LONG) for n in range(10)),
            recorder.subscribe(backend, self.name("channel")),
            backend.publish(self.name("nobody"), b"gone"),
        )
        await backend.publish(self.name("channel"), END)
        await recorder.until_received(END)
        assert await asyncio.gather(*(backend.get(self.name(n)) for n in range(10))) == [
            str(n) for n in range(10)
        ]

    @rule("BE-3")
    async def test_closing_twice_is_idempotent(self) -> None:
        """``aclose`` may be called twice, at the same time, and on a backend never used."""
        used, unused = await self.connect_all(2)
        await used.get(self.name("key"))
        await asyncio.gather(used.aclose(), used.aclose())
        for backend in (used, unused, unused):
            await backend.aclose()

    @rule("BE-3")
    async def test_closed_backend_is_unavailable(self) -> None:
        """Every call on a closed backend raises ``BackendUnavailableError``."""
        backend, witness = await self.connect_all(2)
        key, channel, recorder = self.name("key"), self.name("channel"), Recorder()
        await backend.set(key, "value", ttl=LONG)
        await backend.aclose()
        calls: list[Callable[[], Awaitable[object]]] = [
            lambda: backend.get(key),
            lambda: backend.set(key, "late", ttl=LONG),
            lambda: backend.create(key, "late", ttl=LONG),
            lambda: backend.compare_and_set(key, "value", "late", ttl=LONG),
            lambda: backend.delete(key),
            lambda: backend.publish(channel, b"late"),
            lambda: backend.publish_many([(channel, b"late")]),
            lambda: recorder.subscribe(backend, channel),
        ]
        for call in calls:
            with pytest.raises(BackendUnavailableError):
                await call()
        assert await witness.get(key) == "value"

    @rule("BE-3")
    async def test_closing_spares_other_backends(self) -> None:
        """Closing a backend leaves the keys, and another backend's subscriptions, as they are."""
        closed, stays, publisher = await self.connect_all(3)
        channel, key = self.name("channel"), self.name("key")
        recorder, ended = Recorder(), Recorder()
        await recorder.subscribe(stays, channel)
        await ended.subscribe(closed, channel)
        await closed.set(key, "value", ttl=LONG)
        await closed.aclose()
        await publisher.publish(channel, END)
        await recorder.until_received(END)
        assert await stays.get(key) == "value"
        assert recorder.losses == []

    @rule("BE-3", "P10")
    async def test_closing_leaves_no_task(self) -> None:
        """A closed backend leaves no task running."""
        before = asyncio.all_tasks()
        backends = await self.connect_all(3)
        for backend in backends:
            await Recorder().subscribe(backend, self.name("channel"))
            await backend.publish(self.name("channel"), END)
            await backend.set(self.name("key"), "value", ttl=LONG)
        for backend in backends:
            await backend.aclose()
        if ending := asyncio.all_tasks() - before:
            await asyncio.wait(ending, timeout=PATIENCE)
        left = asyncio.all_tasks() - before
        assert not left, f"tasks left behind: {left}"

    @rule("BE-5")
    async def test_cancelled_call_answers_no_other(self) -> None:
        """A call made after a cancelled one gets the answer to its own question."""
        backend = await self.connect()
        keys = [self.name(number) for number in range(10)]
        for key in keys:
            await backend.set(key, key, ttl=LONG)
        for turn in range(100):
            doomed = asyncio.ensure_future(backend.get(keys[turn % 10]))
            for _ in range(turn % 7):
                await asyncio.sleep(0)
            doomed.cancel()
            other = keys[(turn + 3) % 10]
            assert await backend.get(other) == other
            await asyncio.wait([doomed])

    @rule("BE-5", "P10")
    async def test_cancelled_subscribe_leaves_nothing(self) -> None:
        """A cancelled ``subscribe`` leaves no subscription, and later subscriptions are live."""
        listener, publisher = await self.connect_all(2)
        channel = self.name("channel")
        for turn in range(50):
            dropped, live = Recorder(), Recorder()
            doomed = asyncio.ensure_future(dropped.subscribe(listener, channel))
            for _ in range(turn % 7):
                await asyncio.sleep(0)
            doomed.cancel()
            await asyncio.wait([doomed])
            if not doomed.cancelled():
                await doomed.result().aclose()
            subscription = await live.subscribe(listener, channel)
            await publisher.publish(channel, END)
            await live.until_received(END)
            assert dropped.messages == []
            await subscription.aclose()

    @rule("BE-5")
    async def test_cancelled_publish_breaks_nothing(self) -> None:
        """After a cancelled ``publish`` later messages arrive, in order and undamaged."""
        listener, publisher = await self.connect_all(2)
        channel, recorder = self.name("channel"), Recorder()
        await recorder.subscribe(listener, channel)
        for turn in range(50):
            doomed = asyncio.ensure_future(publisher.publish(channel, b"doomed %d" % turn))
            for _ in range(turn % 5):
                await asyncio.sleep(0)
            doomed.cancel()
            await publisher.publish(channel, b"kept %d" % turn)
            await asyncio.wait([doomed])
        await recorder.until_received(b"kept 49")
        kept = [message for message in recorder.messages if message.startswith(b"kept")]
        assert kept == [b"kept %d" % turn for turn in range(50)]
        doomed_turns = {b"doomed %d" % turn for turn in range(50)}
        assert {m for m in recorder.messages if m not in kept} <= doomed_turns

    @rule("KV-1", "PS-1", needs="shared_between_processes", within=60)
    async def test_other_process_meets_this_one(self) -> None:
        """A key and a message cross from one process to another, both ways."""
        assert self.url, "shared_between_processes needs the suite's url"
        backend = await self.connect()
        recorder = Recorder()
        await recorder.subscribe(backend, self.name("to-us"))
        await backend.set(self.name("ours"), "from us", ttl=LONG)
        async with other_process(self.url, self.namespace):
            # A busy machine takes long to start a program.
            await recorder.until(lambda: b"ready" in recorder.messages, "meets another process", 30)
            assert await backend.get(self.name("theirs")) == "from us, seen"
            await backend.publish(self.name("to-them"), b"ping")
            await recorder.until_received(b"ping, heard")
