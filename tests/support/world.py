"""Instances on one in-memory broker in virtual time, and peers that speak to it directly."""

from __future__ import annotations

import asyncio
import itertools
import json
from contextlib import asynccontextmanager
from functools import partial
from operator import eq
from typing import TYPE_CHECKING, Any

from resumable_stream import (
    BackendUnavailableError,
    Loss,
    Options,
    OutcomeUnknownError,
    ResumableStream,
    ResumableStreamContext,
    create_resumable_stream_context,
)
from resumable_stream._loops import Background
from resumable_stream._producing.claim import Claim
from resumable_stream._protocol.names import Names, live_id
from resumable_stream._protocol.sentinel import generation_of
from resumable_stream._protocol.wire import (
    V1_END,
    DataFrame,
    EndFrame,
    Frame,
    Request,
    decode_frame,
    encode_request,
)
from resumable_stream._shared import Shared
from resumable_stream._text.joined import SEPARATORS, Joined
from resumable_stream_memory import MemoryBackend
from support.virtual_time import loop_time

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from resumable_stream._protocol.places import Place
    from resumable_stream.ports import Backend

ID = "stream"
NAMES = Names("resumable-stream")
SENTINEL = NAMES.sentinel(ID)
OUTCOME = NAMES.outcome(ID)
LEASE = 15.0

_names = itertools.count()


def shared_on(backend: Backend, options: Options | None = None) -> Shared:
    """Return what an instance's parts share, for a test of a single part."""
    background = Background(asyncio.get_running_loop())
    journal = getattr(backend, "journal", None)
    return Shared(backend, journal, NAMES, options or Options(lease=LEASE), background)


def claim_on(broker: Broker) -> Claim:
    """Return a claim on the stream, not taken yet."""
    return Claim(ID, shared_on(broker))


class Broker(MemoryBackend):
    """An adapter whose connection a test can disturb."""

    def __init__(self, name: str) -> None:
        super().__init__(name, clock=loop_time)
        self.away = False
        self.keys_away = False
        self.running = asyncio.Event()
        self.running.set()
        self.drop: Callable[[str, bytes], bool] = lambda _channel, _message: False
        self.lose_replies = 0
        self.lose_writes = 0
        self.lose_publishes = 0
        self.published: list[tuple[str, bytes]] = []
        self.writes: list[tuple[str, str]] = []

    async def _reach(self) -> Any:
        await self.running.wait()
        if self.away or self.keys_away:
            await asyncio.sleep(0.1)
            raise BackendUnavailableError("the broker is away")
        return await super()._reach()

    async def _write(
        self, key: str, value: str, ttl: int, only_if: Callable[[str | None], bool]
    ) -> bool:
        if self.lose_writes:
            self.lose_writes -= 1
            raise OutcomeUnknownError("not executed, but who knows")
        written = await super()._write(key, value, ttl, only_if)
        if written:
            self.writes.append((key, value))
        if self.lose_replies:
            self.lose_replies -= 1
            raise OutcomeUnknownError("executed, but who knows")
        return written

    async def renew_many(self, entries: Sequence[tuple[str, str]], *, ttl: int) -> list[bool]:
        return [
            await self._write(key, value, ttl, partial(eq, value))  # also disturbed
            for key, value in entries
        ]

    async def publish_many(self, messages: Sequence[tuple[str, bytes]]) -> None:
        await self.running.wait()
        if self.away:
            await asyncio.sleep(0.1)
            raise BackendUnavailableError("the broker is away")
        if self.lose_publishes:
            self.lose_publishes -= 1
            raise OutcomeUnknownError("not executed, but who knows")
        self.published += messages
        await super().publish_many([pair for pair in messages if not self.drop(*pair)])

    def reconnect(self) -> None:
        self.away = self.keys_away = False
        for subscription in list(self._subscriptions):
            subscription.inbox._on_loss(Loss.RECONNECTED)


class World:
    def __init__(self) -> None:
        self.bus = f"world-{next(_names)}"
        self.raw = Broker(self.bus)
        self.contexts: list[ResumableStreamContext] = []
        self.brokers: list[Broker] = []

    def instance(self, **options: Any) -> tuple[ResumableStreamContext, Broker]:
        broker = Broker(self.bus)
        chosen: dict[str, Any] = {"lease": LEASE} | options
        wait_until = chosen.pop("wait_until", None)
        context = create_resumable_stream_context(
            backend=broker, options=Options(**chosen), wait_until=wait_until
        )
        self.contexts.append(context)
        self.brokers.append(broker)
        return context, broker

    async def sentinel(self) -> str | None:
        return await self.raw.get(SENTINEL)


@asynccontextmanager
async def world() -> AsyncIterator[World]:
    """Make a world; in the end no task and no subscription of it may be left."""
    made = World()
    try:
        yield made
    finally:
        for context in made.contexts:
            await context.aclose(0)
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        assert not rest, f"tasks left behind: {rest}"
        for broker in made.brokers:
            assert not broker._subscriptions, "subscriptions left behind"
            await broker.aclose()
        await made.raw.aclose()


async def begin(here: World, *chunks: str, **options: Any) -> tuple[Source, ResumableStream, int]:
    """Produce the stream on a new instance; return its source, local reader and generation."""
    context, _ = here.instance(**options)
    source = Source(*chunks)
    stream = await context.create_new_resumable_stream(ID, source)
    await asyncio.sleep(0.1)
    return source, stream, generation_of(await here.sentinel() or "")


async def two_chunks() -> AsyncIterator[str]:
    yield "a"
    yield "b"


class Source:
    """A source that a test feeds by hand."""

    def __init__(self, *chunks: str) -> None:
        self.queue: asyncio.Queue[str | BaseException | None] = asyncio.Queue()
        self.closed = False
        self.calls = 0
        for chunk in chunks:
            self.put(chunk)

    def put(self, *chunks: str) -> None:
        for chunk in chunks:
            self.queue.put_nowait(chunk)

    def finish(self, error: BaseException | None = None) -> None:
        self.queue.put_nowait(error)

    async def __call__(self) -> AsyncIterator[str]:
        self.calls += 1
        try:
            while True:
                item = await self.queue.get()
                if item is None:
                    return
                if isinstance(item, BaseException):
                    raise item
                yield item
        finally:
            self.closed = True


async def rest(stream: ResumableStream | str | None) -> list[str]:
    assert isinstance(stream, ResumableStream)
    return [chunk async for chunk in stream]


class Peer:
    """A listener whose requests a test sends, and whose messages the test reads."""

    def __init__(self, world: World, listener_id: str = "peer") -> None:
        self.id = listener_id
        self.messages: list[bytes] = []
        self.live: list[bytes] = []
        self._raw = world.raw
        self._subscriptions: list[Any] = []

    async def listen(self, generation: int | None = None) -> Peer:
        channels = [(self.id, self.messages)]
        if generation is not None:
            channels.append((live_id(ID, generation), self.live))
        for channel, messages in channels:
            self._subscriptions.append(
                await self._raw.subscribe(NAMES.chunk(channel), messages.append, lambda _loss: None)
            )
        return self

    async def ask(self, **fields: Any) -> None:
        request = Request(self.id, **fields)
        await self._raw.publish(NAMES.request(ID), encode_request(request))
        await asyncio.sleep(0.01)

    def frames(self) -> list[Frame]:
        frames = [decode_frame(self.id, message) for message in self.messages]
        self.messages.clear()
        return [frame for frame in frames if frame is not None]

    def live_frames(self, generation: int) -> list[Frame]:
        frames = [decode_frame(live_id(ID, generation), message) for message in self.live]
        self.live.clear()
        return [frame for frame in frames if frame is not None]

    def texts(self) -> list[str]:
        texts = [message.decode() for message in self.messages]
        self.messages.clear()
        return texts


def data_frame(place: Place, *parts: bytes, generation: int = 1, **fields: Any) -> DataFrame:
    return DataFrame(generation, place, joined(*parts), **fields)


def joined(*parts: bytes) -> Joined:
    """Join parts, which may be pieces of chunks, as a producer joins chunks."""
    if not parts:
        return Joined()
    for separator in SEPARATORS:
        if not any(separator.encode() in part for part in parts):
            return Joined(separator.encode().join(parts), len(parts), separator)
    return Joined(b"".join(parts), len(parts), "", tuple(map(len, parts)))


def text_of(frames: list[Frame]) -> str:
    data = [frame.joined.parts() for frame in frames if isinstance(frame, DataFrame)]
    return b"".join(itertools.chain.from_iterable(data)).decode()


def ends_of(frames: list[Frame]) -> list[str]:
    return [frame.ending.status for frame in frames if isinstance(frame, EndFrame)]


class TypeScriptProducer:
    """Does on the wire what the npm package does as a producer."""

    def __init__(self, world: World) -> None:
        self._raw = world.raw
        self._chunks: list[str] = []
        self.listeners: list[str] = []
        self._subscription: Any = None

    async def start(self) -> None:
        self._subscription = await self._raw.subscribe(
            NAMES.request(ID), self._on_request, lambda _loss: None
        )
        await self._raw.set(SENTINEL, "1", ttl=86_400)

    def _on_request(self, message: bytes) -> None:
        fields = json.loads(message)
        self.listeners.append(fields["listenerId"])
        units = "".join(self._chunks).encode("utf-16-le")[2 * fields.get("skipCharacters", 0) :]
        self._publish(units.decode("utf-16-le", "replace"), [fields["listenerId"]])

    def _publish(self, text: str, listeners: list[str]) -> None:
        bus = self._raw._open_bus()
        for listener in listeners:
            channel, message = NAMES.chunk(listener), text.encode()
            if not self._raw.drop(channel, message):
                bus.publish(channel, message)

    async def send(self, *chunks: str) -> None:
        for chunk in chunks:
            self._chunks.append(chunk)
            self._publish(chunk, self.listeners)
            await asyncio.sleep(0)

    async def finish(self) -> None:
        await self._raw.set(SENTINEL, "DONE", ttl=86_400)
        self._publish(V1_END, self.listeners)
        await self.die()

    async def die(self) -> None:
        await self._subscription.aclose()
