"""Questions to JetStream: what each answer means, and what happens to questions under way."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import nats
import pytest
from nats.aio.msg import Msg
from nats.errors import Error
from nats.js.errors import NoStreamResponseError, NotFoundError

from resumable_stream.errors import BackendUnavailableError, OutcomeUnknownError
from resumable_stream_nats import NatsBackend
from resumable_stream_nats._errors import DeniedError, LineLostError
from resumable_stream_nats._jetstream import (
    NO_HEADERS,
    JetStream,
    StrangeAnswerError,
    answer_in,
    write,
)
from resumable_stream_nats._line import Line
from support.servers import eventually

if TYPE_CHECKING:
    from support.nats_servers import NatsServer


def answer_of(data: bytes, headers: dict[str, str] | None = None) -> Msg:
    client: Any = None
    return Msg(client, subject="x", data=data, headers=headers)


class Answering:
    """A line on which every question has the same answer."""

    def __init__(self, data: bytes) -> None:
        self._answer = answer_of(data)

    async def ask(self, *_: object, **__: object) -> Msg:
        return self._answer


class LinkTo:
    def __init__(self, line: Any) -> None:
        self.present = line


def sequence_in(data: bytes, headers: dict[str, str] | None = None) -> object:
    answer = answer_of(data, headers)
    return answer_in(answer, lambda answer: answer["seq"], nobody=NoStreamResponseError)


async def echo(msg: Msg) -> None:
    await msg.respond(msg.data)


async def line_to(server: NatsServer) -> Line:
    """A line over a client of the test's own."""
    line = Line(await nats.connect(server.address), own=False)
    line.stand()
    return line


def test_answers_are_told_apart() -> None:
    assert sequence_in(b'{"seq": 3}') == 3
    for strange in (b"", b"ok", b"5", b"[]", b"{}", b'"seq"', b"\xff", b'{"error": "x"}'):
        with pytest.raises(StrangeAnswerError):
            sequence_in(strange)
    with pytest.raises(NotFoundError):
        sequence_in(b'{"error": {"code": 404, "err_code": 10037}}')
    with pytest.raises(NoStreamResponseError):
        sequence_in(b"", {"Status": "503"})


async def test_strange_answer_to_a_write_leaves_it_open() -> None:
    line: Any = Answering(b"{}")
    until = asyncio.get_running_loop().time() + 60
    with pytest.raises(OutcomeUnknownError, match="no answer of JetStream's"):
        await write(line, "x", NO_HEADERS, b"", until)
    link: Any = LinkTo(line)
    with pytest.raises(StrangeAnswerError):
        await JetStream(link, 60).ask("x", b"", lambda answer: answer["seq"], until)


async def test_first_questions_share_one_inbox(nats_server: NatsServer) -> None:
    line = await line_to(nats_server)
    await line.client.subscribe("x", cb=echo)
    until = asyncio.get_running_loop().time() + 10
    questions = [line.ask("x", NO_HEADERS, b"%d" % number, until=until) for number in range(20)]
    answers = await asyncio.gather(*questions)
    assert [answer.data for answer in answers] == [b"%d" % number for number in range(20)]
    assert len(line.client._subs) == 2
    line.end(ConnectionAbortedError())
    assert len(line.client._subs) == 1
    await line.client.close()


async def test_questions_of_one_turn_are_one_write(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = await line_to(nats_server)
    await line.client.subscribe("x", cb=echo)
    transport = line.client._transport
    assert transport is not None
    writes: list[object] = []
    write_all = transport.writelines
    monkeypatch.setattr(transport, "writelines", lambda lines: writes.append(write_all(lines)))
    until = asyncio.get_running_loop().time() + 10
    await asyncio.gather(*(line.ask("x", NO_HEADERS, b"", until=until) for _ in range(100)))
    monkeypatch.undo()
    # The other writes are this client's own answers.
    assert len(writes) < 100
    await line.client.close()


async def test_nothing_is_asked_whose_answer_is_denied(nats_server: NatsServer) -> None:
    line = await line_to(nats_server)
    asked = await line.client.subscribe("x")
    until = asyncio.get_running_loop().time() + 60
    inbox = line.client.new_inbox()
    await line.hear(Error(f'permissions violation for subscription to "{inbox}"'))
    with pytest.raises(DeniedError):
        await line.ask("x", NO_HEADERS, b"", until=until)
    await line.confirm(until=until)
    assert not asked.pending_msgs
    line.end(ConnectionAbortedError())
    await line.client.close()


async def test_each_question_is_given_up_at_its_own_time(nats_server: NatsServer) -> None:
    line = await line_to(nats_server)
    await line.client.subscribe("deaf")  # somebody subscribes and says nothing
    loop = asyncio.get_running_loop()
    began = loop.time()

    async def ask(after: float) -> float:
        with pytest.raises(TimeoutError):
            await line.ask("deaf", NO_HEADERS, b"", until=began + after)
        return loop.time() - began

    ends = await asyncio.gather(*map(ask, (1.5, 0.2, 3.0, 0.8)))
    for end, after in zip(ends, (1.5, 0.2, 3.0, 0.8), strict=True):
        assert after <= end < after + 1
    await line.client.close()


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
    line = await line_to(nats_server)
    line.end(ConnectionResetError("gone"))
    until = asyncio.get_running_loop().time() + 60
    async with asyncio.timeout(10):
        with pytest.raises(LineLostError, match="gone"):
            await line.ask("x", NO_HEADERS, b"", until=until)
        with pytest.raises(LineLostError, match="gone"):
            await line.confirm(until=until)
    await line.client.close()


async def test_denied_question_is_told_at_once(nats_server: NatsServer) -> None:
    line = await line_to(nats_server)
    until = asyncio.get_running_loop().time() + 60
    async with asyncio.timeout(10):
        # The subscriber never answers, so the denial is the only answer.
        await line.client.subscribe("deaf")
        await line.client.subscribe("other", cb=echo)
        asking = [
            asyncio.create_task(line.ask(subject, NO_HEADERS, b"", until=until))
            for subject in ("deaf", "other")
        ]
        await asyncio.sleep(0)
        await line.hear(Error('permissions violation for publish to "deaf"'))
        with pytest.raises(DeniedError):
            await asking[0]
        assert (await asking[1]).data == b""
    await line.client.close()


async def test_cancelled_question_leaves_nothing(
    nats_server: NatsServer, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await nats.connect(nats_server.address)
    backend = NatsBackend(client=client, storage="memory")
    lines: list[Line] = []
    stand = Line.stand

    def stand_seen(line: Line) -> None:
        lines.append(line)
        stand(line)

    monkeypatch.setattr(Line, "stand", stand_seen)
    await backend.set(name, "v", ttl=60)
    nats_server.freeze()
    calls = [asyncio.create_task(backend.get(name)) for _ in range(50)]
    (line,) = lines
    await eventually(lambda: len(line._questions) == 50, "all to be asked")
    for call in calls:
        call.cancel()
    await asyncio.wait(calls)
    assert all(call.cancelled() for call in calls)
    assert not line._questions
    nats_server.thaw()
    # The answers to the cancelled questions come now, and belong to no call.
    assert await backend.get(name) == "v"
    await backend.aclose()
    await client.close()
