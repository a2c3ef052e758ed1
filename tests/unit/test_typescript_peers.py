"""Listeners and producers of the TypeScript package, seen from the wire."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from resumable_stream import (
    OutcomeUnknownError,
    ProducerLostError,
    ResumableStream,
    ResumableStreamContext,
)
from resumable_stream._protocol.wire import V1_END, decode_request
from resumable_stream_memory._backend import MAX_MESSAGE_SIZE
from support.virtual_time import in_virtual_time
from support.world import (
    ID,
    LEASE,
    NAMES,
    SENTINEL,
    Peer,
    TypeScriptProducer,
    begin,
    rest,
    world,
)

V1_EMPTY = [""]


@pytest.mark.rule("V1-1", "P11")
@in_virtual_time
async def test_v1_listeners_get_text_as_typescript_sends_it() -> None:
    async with world() as here:
        source, stream, _ = await begin(here, "ab", "cd")
        peer = await Peer(here).listen()
        await peer.ask(version=1, skip=1)
        assert peer.texts() == ["bcd"]
        source.put("ef", "", "g")
        await asyncio.sleep(0.01)
        assert peer.texts() == ["ef", "", "g"]
        source.finish()
        assert await rest(stream) == ["ab", "cd", "ef", "", "g"]
        assert peer.texts() == [V1_END]


@pytest.mark.rule("V1-1")
@in_virtual_time
async def test_v1_listeners_are_acknowledged_without_text() -> None:
    async with world() as here:
        await begin(here)
        peer = await Peer(here).listen()
        await peer.ask(version=1)
        assert peer.texts() == V1_EMPTY


@pytest.mark.rule("V1-1")
@in_virtual_time
async def test_no_v1_text_reads_as_the_end() -> None:
    async with world() as here:
        source, _, _ = await begin(here, V1_END)
        peer = await Peer(here).listen()
        await peer.ask(version=1)
        source.put(V1_END)
        await asyncio.sleep(0.1)
        texts = peer.texts()
        assert V1_END not in texts
        assert "".join(texts) == 2 * V1_END


@pytest.mark.rule("V1-1")
@in_virtual_time
async def test_a_long_v1_replay_comes_in_messages_that_fit() -> None:
    async with world() as here:
        text = "0123456789é😀" * 300_000
        await begin(here, text[:1_000_000], text[1_000_000:], "end")
        peer = await Peer(here).listen()
        await peer.ask(version=1, skip=5)
        await asyncio.sleep(1)
        assert max(map(len, peer.messages)) <= MAX_MESSAGE_SIZE
        assert "".join(peer.texts()) == text[5:] + "end"


@pytest.mark.rule("V1-2")
@in_virtual_time
async def test_v1_offsets_are_javascript_slices() -> None:
    async with world() as here:
        source, _, _ = await begin(here, "a😀b")
        peer = await Peer(here).listen()
        for skip, reply in ((1, "😀b"), (2, "\ufffdb"), (3, "b"), (4, "")):
            await peer.ask(version=1, skip=skip)
            assert peer.texts() == [reply], skip
        ahead = await Peer(here, "ahead").listen()
        await ahead.ask(version=1, skip=6)
        source.put("c😀d", "e")
        await asyncio.sleep(0.1)
        assert "".join(ahead.texts()) == "\ufffdde"


@pytest.mark.rule("V1-3")
@in_virtual_time
async def test_v1_listeners_of_a_failed_source_end() -> None:
    async with world() as here:
        source, _, _ = await begin(here, "a")
        peer = await Peer(here).listen()
        await peer.ask(version=1)
        source.finish(ValueError("x"))
        await asyncio.sleep(0.1)
        assert peer.texts() == ["a", V1_END]


@in_virtual_time
async def test_v1_text_is_sent_again_if_it_surely_was_not() -> None:
    async with world() as here:
        source, _, _ = await begin(here, "a")
        peer = await Peer(here).listen()
        await peer.ask(version=1)
        here.brokers[0].away = True
        source.put("b", "c")
        await asyncio.sleep(5)
        here.brokers[0].reconnect()
        await asyncio.sleep(5)
        assert "".join(peer.texts()) == "abc"


async def join(context: ResumableStreamContext, offset: int = 0) -> ResumableStream:
    stream = await context.resume_existing_stream(ID, offset)
    assert isinstance(stream, ResumableStream)
    return stream


@pytest.mark.rule("V1-4", "P11")
@pytest.mark.parametrize("unit", ["utf-16", "code-points"])
@in_virtual_time
async def test_a_typescript_stream_is_read_to_its_end(unit: str) -> None:
    async with world() as here:
        producer = TypeScriptProducer(here)
        await producer.start()
        await producer.send("a😀", "", "b")
        context, _ = here.instance(offset_unit=unit)
        offset = 3 if unit == "utf-16" else 2
        streams = [await join(context), await join(context, offset), await join(context, 50)]
        await producer.send("c", V1_END, "d" * 60)
        await producer.finish()
        text = "a😀bc" + V1_END + "d" * 60
        assert "".join(await rest(streams[0])) == text
        assert "".join(await rest(streams[1])) == text[2:]
        assert "".join(await rest(streams[2])) == text[49 if unit == "utf-16" else 50 :]
        assert streams[0].last_event_id is None
        assert await context.resume_existing_stream(ID) is None


@pytest.mark.rule("V1-4", "P1")
@in_virtual_time
async def test_a_loss_from_a_typescript_stream_is_repaired() -> None:
    async with world() as here:
        producer = TypeScriptProducer(here)
        await producer.start()
        await producer.send("a😀")
        context, broker = here.instance()
        stream = await join(context)
        here.raw.drop = lambda channel, _message: channel.startswith(NAMES.chunk(""))
        await producer.send("bc")
        here.raw.drop = lambda _channel, _message: False
        broker.reconnect()
        await producer.send("d")
        await asyncio.sleep(0.1)
        await producer.finish()
        assert "".join(await rest(stream)) == "a😀bcd"


@pytest.mark.rule("V1-5")
@in_virtual_time
async def test_an_offset_beyond_a_typescript_text_waits() -> None:
    async with world() as here:
        producer = TypeScriptProducer(here)
        await producer.start()
        context, _ = here.instance()
        stream = await join(context, 3)
        await producer.send("ab", "cd")
        await producer.finish()
        assert await rest(stream) == ["d"]


@pytest.mark.rule("V1-4", "P4")
@in_virtual_time
async def test_a_slow_link_does_not_cost_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    async with world() as here:
        producer = TypeScriptProducer(here)
        await producer.start()
        await producer.send("a")
        context, broker = here.instance()
        loop, subscribe, answer = asyncio.get_running_loop(), broker.subscribe, producer._publish

        async def subscribe_slowly(*request: Any) -> Any:
            await asyncio.sleep(0.7)
            return await subscribe(*request)

        monkeypatch.setattr(broker, "subscribe", subscribe_slowly)
        monkeypatch.setattr(producer, "_publish", lambda *what: loop.call_later(0.7, answer, *what))
        stream = await join(context)
        assert await anext(stream) == "a"
        await stream.aclose()


@pytest.mark.rule("V1-4", "P4")
@in_virtual_time
async def test_a_dead_typescript_producer_is_reported() -> None:
    async with world() as here:
        producer = TypeScriptProducer(here)
        await producer.start()
        await producer.send("ab")
        context, _ = here.instance()
        stream = await join(context)
        await producer.die()
        with pytest.raises(Exception, match="reached 2"):
            await asyncio.wait_for(rest(stream), 2 * LEASE)


@pytest.mark.rule("V1-4")
@in_virtual_time
async def test_a_silent_typescript_producer_is_not_dead() -> None:
    async with world() as here:
        producer = TypeScriptProducer(here)
        await producer.start()
        context, _ = here.instance()
        stream = await join(context)
        await asyncio.sleep(10 * LEASE)
        await producer.send("a")
        await producer.finish()
        assert await rest(stream) == ["a"]


@pytest.mark.rule("V1-6", "P3")
@in_virtual_time
async def test_a_typescript_end_without_its_marker_is_a_loss() -> None:
    async with world() as here:
        producer = TypeScriptProducer(here)
        await producer.start()
        await producer.send("ab")
        context, _ = here.instance()
        stream = await join(context)
        here.raw.drop = lambda _channel, _message: True
        await producer.finish()
        with pytest.raises(Exception, match="reached 2"):
            await asyncio.wait_for(rest(stream), 2 * LEASE)


@pytest.mark.rule("V1-4", "P1")
@in_virtual_time
async def test_text_that_reads_as_the_end_does_not_hide_a_loss() -> None:
    async with world() as here:
        producer = TypeScriptProducer(here)
        await producer.start()
        context, broker = here.instance()
        stream = await join(context)
        await here.raw.set(SENTINEL, "DONE", ttl=86_400)  # told before the text that it is about

        def lose_more(_channel: str, _message: bytes) -> bool:
            broker.reconnect()
            return False

        broker.drop = lose_more
        await producer.send(V1_END)
        here.raw.drop = lambda _channel, _message: True
        await producer.send("the rest")
        await producer.finish()
        with pytest.raises(ProducerLostError):
            await rest(stream)


@pytest.mark.rule("V1-4", "P3")
@in_virtual_time
async def test_an_end_that_has_come_survives_a_lost_connection() -> None:
    async with world() as here:
        producer = TypeScriptProducer(here)
        await producer.start()
        context, broker = here.instance(window=4096)
        stream = await join(context)
        text = "a" * 4096
        await producer.send(text, "b")
        await producer.finish()
        await asyncio.sleep(1)
        broker.reconnect()
        await asyncio.sleep(1)
        assert await rest(stream) == [text, "b"]


@pytest.mark.rule("V1-4", "P1")
@in_virtual_time
async def test_an_end_that_comes_while_text_is_told_from_it_is_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with world() as here:
        producer = TypeScriptProducer(here)
        await producer.start()
        context, broker = here.instance()
        stream = await join(context)
        get = broker.get

        async def get_late(key: str) -> str | None:
            monkeypatch.undo()
            await producer.finish()
            return await get(key)

        monkeypatch.setattr(broker, "get", get_late)
        await producer.send(V1_END)
        assert await rest(stream) == [V1_END]


@pytest.mark.rule("V1-4", "P1")
@in_virtual_time
async def test_a_readers_own_message_that_comes_late_is_no_text(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The reader sends itself a message, to learn whether all before it has come."""
    async with world() as here:
        producer = TypeScriptProducer(here)
        await producer.start()
        context, broker = here.instance()
        stream = await join(context)
        publish = broker.publish
        late: list[bytes] = []

        async def publish_late(channel: str, message: bytes) -> None:
            if channel == NAMES.chunk(producer.listeners[0]):
                if not late:
                    late.append(message)
                    raise OutcomeUnknownError("it will be executed later")
                await here.raw.publish(channel, late[0])
            await publish(channel, message)

        monkeypatch.setattr(broker, "publish", publish_late)
        await producer.send("a")
        await producer.finish()
        assert await rest(stream) == ["a"]
        assert late


@pytest.mark.rule("V1-4", "P1")
@in_virtual_time
async def test_an_end_whose_connection_is_silent_is_not_believed() -> None:
    async with world() as here:
        producer = TypeScriptProducer(here)
        await producer.start()
        context, broker = here.instance()
        stream = await join(context)
        await producer.send("a")
        broker.drop = lambda _channel, _message: True
        await producer.finish()
        with pytest.raises(ProducerLostError, match="reached 1"):
            await rest(stream)


@pytest.mark.rule("P1", "V1-3")
@in_virtual_time
async def test_a_v1_listener_whose_text_may_have_a_hole_is_given_up() -> None:
    async with world() as here:
        source, stream, _ = await begin(here, "ab")
        peer = await Peer(here).listen()
        await peer.ask(version=1)
        assert peer.texts() == ["ab"]
        here.brokers[0].lose_publishes = 1
        source.put("cd")
        await asyncio.sleep(0.01)
        source.put("ef")
        source.finish()
        assert await rest(stream) == ["ab", "cd", "ef"]
        await asyncio.sleep(LEASE)
        assert peer.texts() == [], "neither text after a hole, nor an end that calls it whole"


@pytest.mark.rule("LSN-8")
@in_virtual_time
async def test_an_unframed_answer_is_held_against_the_sentinel() -> None:
    async with world() as here:
        producer = TypeScriptProducer(here)
        await producer.start()
        await here.raw.set(NAMES.sentinel(ID), str(77 << 20), ttl=60)
        await producer.send("ab")
        context, broker = here.instance()
        joining = asyncio.create_task(join(context))
        await asyncio.sleep(0.05)
        requests = [message for _channel, message in broker.published]
        assert all(b'"version":2' in message for message in requests), "a damaged frame, perhaps"
        await here.raw.set(NAMES.sentinel(ID), "1", ttl=60)
        async with asyncio.timeout(0.25):
            stream = await joining
        await producer.send("c")
        await producer.finish()
        assert "".join(await rest(stream)) == "abc"


@pytest.mark.rule("LSN-8", "P1")
@in_virtual_time
async def test_a_damaged_frame_does_not_make_a_listener_speak_version_1() -> None:
    async with world() as here:
        source, _, _ = await begin(here, "a")
        context, broker = here.instance()
        joining = asyncio.create_task(join(context))
        for _ in range(20):
            await asyncio.sleep(0)
            if broker.published:
                break
        request = decode_request(broker.published[0][1])
        assert request is not None
        await here.raw.publish(NAMES.chunk(request.listener_id), b"half a fra")
        stream = await joining
        assert stream.last_event_id is not None, "a reader of version 1 has none"
        source.finish()
        assert await rest(stream) == ["a"]
