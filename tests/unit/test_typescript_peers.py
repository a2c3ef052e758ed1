"""Reading streams that are produced by the TypeScript package."""

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
        await here.raw.set(SENTINEL, "DONE", ttl=86_400)  # the end, before the text is sent

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
    """The reader sends itself a message, to learn whether all earlier messages have come."""
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


@pytest.mark.rule("V1-4", "P1", "P5")
@in_virtual_time
async def test_a_listener_of_a_typescript_producer_asks_nobody_else() -> None:
    """The answer of who has the stream now would go on in another text."""
    async with world() as here:
        producer = TypeScriptProducer(here)
        await producer.start()
        await producer.send("ab")
        context, broker = here.instance()
        stream = await join(context)
        assert await anext(stream) == "ab"
        here.raw.drop = lambda channel, _message: channel.startswith(NAMES.chunk(""))
        await producer.finish()
        here.raw.drop = lambda _channel, _message: False
        await here.raw.delete(SENTINEL)
        await begin(here, "another text")
        broker.reconnect()
        with pytest.raises(ProducerLostError, match="reached 2"):
            await asyncio.wait_for(rest(stream), 2 * LEASE)
