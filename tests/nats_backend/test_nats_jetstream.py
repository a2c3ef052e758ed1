"""Questions to JetStream: what each answer means, and what happens to questions under way."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import nats
import pytest
from nats.aio.msg import Msg
from nats.errors import Error
from nats.js.errors import NoStreamResponseError, NotFoundError

from resumable_stream.errors import BackendUnavailableError, OutcomeUnknownError
from resumable_stream_nats import NatsBackend
from resumable_stream_nats._errors import DeniedError, LineLostError
from resumable_stream_nats._jetstream import NO_HEADERS, JetStream, StrangeAnswerError, directly
from resumable_stream_nats._line import Line
from support.servers import eventually

if TYPE_CHECKING:
    from support.nats_servers import NatsServer


class Answering:
    """A line on which every question has the same answer."""

    def __init__(self, data: bytes, headers: dict[str, str] | None = None) -> None:
        client: Any = None
        self._answer = Msg(client, subject="x", data=data, headers=headers)

    async def ask(self, *_: object, **__: object) -> Msg:
        return self._answer


class LinkTo:
    def __init__(self, line: Any) -> None:
        line.watch = lambda *_, **__: nullcontext()
        self._line = line

    async def reach(self, _: float) -> Any:
        return self._line


async def answer_to_question(line: Any) -> object:
    watch: Any = None
    question = directly(
        "x", NO_HEADERS, b"", nobody=NoStreamResponseError, read=lambda answer: answer["seq"]
    )
    return await question(line, watch, 0.0)


async def test_answers_are_told_apart() -> None:
    assert await answer_to_question(Answering(b'{"seq": 3}')) == 3
    for strange in (b"", b"ok", b"5", b"[]", b"{}", b'"seq"', b"\xff", b'{"error": "x"}'):
        with pytest.raises(StrangeAnswerError):
            await answer_to_question(Answering(strange))
    with pytest.raises(NotFoundError):
        await answer_to_question(Answering(b'{"error": {"code": 404, "err_code": 10037}}'))
    with pytest.raises(NoStreamResponseError):
        await answer_to_question(Answering(b"", {"Status": "503"}))


async def test_strange_answer_to_a_write_leaves_it_open() -> None:
    link: Any = LinkTo(Answering(b"{}"))
    question = directly("x", NO_HEADERS, b"", nobody=NoStreamResponseError, read=lambda a: a["seq"])
    until = asyncio.get_running_loop().time() + 60
    with pytest.raises(OutcomeUnknownError, match="no answer of JetStream's"):
        await JetStream(link, 60).ask(question, "x", until, write=True)
    with pytest.raises(StrangeAnswerError):
        await JetStream(link, 60).ask(question, "x", until)


async def test_first_questions_share_one_inbox(nats_server: NatsServer) -> None:
    client = await nats.connect(nats_server.address)
    line = Line(client, own=False)
    line.stand()

    async def answer(msg: Msg) -> None:
        await msg.respond(msg.data)

    await client.subscribe("x", cb=answer)
    until = asyncio.get_running_loop().time() + 10
    with line.watch("publish", ["x"]) as watch:
        questions = [
            line.ask("x", NO_HEADERS, b"%d" % number, until=until, watch=watch)
            for number in range(20)
        ]
        answers = await asyncio.gather(*questions)
    assert [answer.data for answer in answers] == [b"%d" % number for number in range(20)]
    assert len(client._subs) == 2
    await client.close()


async def test_nothing_is_asked_whose_answer_is_denied(nats_server: NatsServer) -> None:
    client = await nats.connect(nats_server.address)
    line = Line(client, own=False)
    line.stand()
    asked = await client.subscribe("x")
    until = asyncio.get_running_loop().time() + 60
    await line.hear(Error(f'permissions violation for subscription to "{client.new_inbox()}"'))
    with line.watch("publish", ["x"], replies=True) as watch, pytest.raises(DeniedError):
        await line.ask("x", NO_HEADERS, b"", until=until, watch=watch)
    await line.confirm(until=until)
    assert not asked.pending_msgs
    line.end(ConnectionAbortedError())
    await line.settle()
    await client.close()


async def test_what_was_asked_fails_with_its_connection(nats_server: NatsServer, name: str) -> None:
    backend = NatsBackend(nats_server.url, timeout=60)
    await backend.set(name, "v", ttl=60)
    nats_server.freeze()
    calls = [
        asyncio.create_task(call)
        for call in (
            backend.get(name),
            backend.set(name, "w", ttl=60),
            backend.create(name, "x", ttl=60),
        )
    ]
    await asyncio.sleep(0.1)
    nats_server.kill()
    async with asyncio.timeout(10):
        done = await asyncio.gather(*calls, return_exceptions=True)
    # The calls fail well before their time-out, and only the writes may have been executed.
    assert [type(outcome) for outcome in done] == [
        BackendUnavailableError,
        OutcomeUnknownError,
        OutcomeUnknownError,
    ]
    await backend.aclose()


async def test_nothing_is_asked_over_a_line_that_has_ended(nats_server: NatsServer) -> None:
    client = await nats.connect(nats_server.address)
    line = Line(client, own=False)
    line.stand()
    line.end(ConnectionResetError("gone"))
    until = asyncio.get_running_loop().time() + 60
    async with asyncio.timeout(10):
        with line.watch("publish", ["x"]) as watch, pytest.raises(LineLostError, match="gone"):
            await line.ask("x", NO_HEADERS, b"", until=until, watch=watch)
    await client.close()


async def test_denied_question_is_told_at_once(nats_server: NatsServer) -> None:
    client = await nats.connect(nats_server.address)
    line = Line(client, own=False)
    line.stand()
    until = asyncio.get_running_loop().time() + 60
    async with asyncio.timeout(10):
        with line.watch("publish", ["deaf"]) as watch:
            # The subscriber never answers, so the denial is the only answer.
            await client.subscribe("deaf")
            asking = asyncio.create_task(
                line.ask("deaf", NO_HEADERS, b"", until=until, watch=watch)
            )
            await asyncio.sleep(0.1)
            await line.hear(Error('permissions violation for publish to "deaf"'))
            with pytest.raises(DeniedError):
                await asking
    await client.close()


async def test_cancelled_question_leaves_nothing(nats_server: NatsServer, name: str) -> None:
    client = await nats.connect(nats_server.address)
    backend = NatsBackend(client=client, storage="memory")
    await backend.set(name, "v", ttl=60)
    expected = len(client._resp_map)
    nats_server.freeze()
    calls = [asyncio.create_task(backend.get(name)) for _ in range(50)]
    await eventually(lambda: len(client._resp_map) == expected + 50, "all to be asked")
    for call in calls:
        call.cancel()
    await asyncio.wait(calls)
    assert all(call.cancelled() for call in calls)
    assert len(client._resp_map) == expected
    nats_server.thaw()
    # The answers to the cancelled questions come now, and belong to no call.
    assert await backend.get(name) == "v"
    await backend.aclose()
    await client.close()
