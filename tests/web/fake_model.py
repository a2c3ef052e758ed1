"""A server of one model, with OpenAI's chat completions and its Responses API in background mode.

Some questions make it misbehave.
"""

from __future__ import annotations

import asyncio
import json
import math
from typing import TYPE_CHECKING, Any, NamedTuple, Self
from urllib.parse import parse_qs, urlsplit

from web.fake_responses import BackgroundAnswer

if TYPE_CHECKING:
    from collections.abc import Iterator

WORDS = ("Because ", "of ", "that", ", \N{ROCKET}", "\n\nand ", "of this.")
FREE = 4
HOLD_BACK = "hold back"  # sends nothing, not even a head
END_EARLY = "end early"  # ends in good order, but without a finish_reason
BREAK_OFF = "break off"
ADMIT_ERROR = "admit an error"
REFUSE = "refuse"
STAY_SILENT = "stay silent"  # ends every stream in good order, before it has begun


class Request(NamedTuple):
    """What a client sent."""

    method: str
    path: str
    query: dict[str, list[str]]
    body: Any


class Call:
    """One request, and whether its client has left before the answer was over.

    Attributes:
        prefix: what the model is to continue; templates cut off the white space around it.
    """

    def __init__(self, question: str, prefix: str = "") -> None:
        self.question = question
        self.prefix = prefix.strip()
        self.left = asyncio.Event()


class FakeModel:
    """A model whose answers wait for ``let_go`` after ``FREE`` words; ``async with`` runs it.

    Attributes:
        url: the ``OPENAI_BASE_URL``.
        calls: the requests that came, in order.
        answers: those that were begun in background mode, in order.
    """

    def __init__(self) -> None:
        self.url = ""
        self.calls: list[Call] = []
        self.answers: list[BackgroundAnswer] = []
        self._allowed: float = FREE
        self._more_allowed = asyncio.Event()
        self._connections: set[asyncio.Task[None]] = set()

    def let_go(self) -> None:
        self.allow(math.inf)

    def leash(self) -> None:
        self.allow(FREE)

    def allow(self, words: float) -> None:
        """Let each answer come to so many words; ``BEGUN`` holds back even its first event."""
        self._allowed = words
        self._more_allowed.set()
        self._more_allowed = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving = asyncio.create_task(self._serve(reader, writer))
        self._connections.add(serving)
        serving.add_done_callback(self._connections.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await _request(reader)
        if request.path == "/v1/chat/completions":
            call = _call(request.body)
            answer = self._complete(call, writer)
        else:
            background, place = self._background(request)
            call = Call(background.question)
            if request.path.endswith("/cancel"):
                background.cancelled = True
                answer = _send_json(writer, "200 OK", background.described("cancelled"))
            else:
                answer = self._respond(background, place, writer)
        self.calls.append(call)
        answering = asyncio.create_task(answer)
        leaving = asyncio.create_task(reader.read(1))
        try:
            await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if not answering.done():
                call.left.set()
        finally:
            for task in (answering, leaving):
                task.cancel()
            await asyncio.gather(answering, leaving, return_exceptions=True)
            if call.question == BREAK_OFF:
                writer.transport.abort()
            else:
                writer.close()

    async def _complete(self, call: Call, writer: asyncio.StreamWriter) -> None:
        if call.question == HOLD_BACK:
            await asyncio.Event().wait()
        if call.question == REFUSE:
            await _send_json(writer, "400 Bad Request", {"error": {"message": "no such model"}})
            return
        writer.write(_head("200 OK", "Transfer-Encoding: chunked", "text/event-stream"))
        _send(writer, _delta({"role": "assistant", "content": ""}))
        for number, word in _words_after(call.prefix):
            await self._word_is_allowed(number + 1, writer)
            if number == FREE and call.question == BREAK_OFF:
                return
            if number == FREE and call.question == ADMIT_ERROR:
                _send(writer, {"error": {"message": "the model is out of tokens"}})
            _send(writer, _delta({"content": word}))
        if call.question != END_EARLY:
            _send(writer, _delta({}, "stop"))
            _send(writer, _chunk([]))
            _send(writer, "[DONE]")
        writer.write(b"0\r\n\r\n")
        await writer.drain()

    def _background(self, request: Request) -> tuple[BackgroundAnswer, int | None]:
        """Return the answer that a request begins or names, and what its client has had of it."""
        if request.path == "/v1/responses":
            assert request.body["background"] is request.body["stream"] is True
            question = request.body["input"]
            fails = question == ADMIT_ERROR
            answer = BackgroundAnswer(len(self.answers), question, WORDS, fails=fails)
            self.answers.append(answer)
            return answer, None
        stream = request.query.get("stream")
        assert request.method == "POST" or stream == ["true"], request
        (answer,) = [one for one in self.answers if one.id == request.path.split("/")[3]]
        return answer, int(request.query.get("starting_after", ["-1"])[0])

    async def _respond(
        self, answer: BackgroundAnswer, place: int | None, writer: asyncio.StreamWriter
    ) -> None:
        """Send the events of an answer; some questions cut off the client who began it."""
        writer.write(_head("200 OK", "Transfer-Encoding: chunked", "text/event-stream"))
        for event, needs in answer.after(place):
            if answer.question == STAY_SILENT and event["type"] != "response.created":
                break
            await self._word_is_allowed(needs, writer)
            if place is None and needs > FREE:
                if answer.question == END_EARLY:
                    break
                if answer.question == BREAK_OFF:
                    return
            _send(writer, event)
        writer.write(b"0\r\n\r\n")
        await writer.drain()

    async def _word_is_allowed(self, words: int, writer: asyncio.StreamWriter) -> None:
        while words > self._allowed:
            await writer.drain()
            await self._more_allowed.wait()


def _call(body: Any) -> Call:
    """Read a request for a chat completion, which may have the beginning of its answer."""
    assert body["stream"] is True
    *_, last = body["messages"]
    if not body.get("continue_final_message"):
        assert last["role"] == "user"
        return Call(last["content"])
    assert (last["role"], body["add_generation_prompt"]) == ("assistant", False)
    return Call(body["messages"][-2]["content"], last["content"])


def _words_after(prefix: str) -> Iterator[tuple[int, str]]:
    """Give the words after a prefix, which ends where one does, with the white space before."""
    place, space = 0, ""
    for number, word in enumerate(WORDS):
        rest = word[max(0, len(prefix) - place) :]
        place += len(word)
        if rest.isspace():
            space = rest
        elif rest:
            yield number, space + rest
            space = ""


async def _request(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    method, target, _ = head.split(" ", 2)
    length = head.lower().partition("content-length:")[2].split()
    body = json.loads(await reader.readexactly(int(length[0])) or b"null") if length else None
    url = urlsplit(target)
    return Request(method, url.path, parse_qs(url.query), body)


async def _send_json(writer: asyncio.StreamWriter, status: str, content: Any) -> None:
    body = json.dumps(content).encode()
    writer.write(_head(status, f"Content-Length: {len(body)}") + body)
    await writer.drain()


def _head(status: str, length: str, content: str = "application/json") -> bytes:
    lines = (f"HTTP/1.1 {status}", f"Content-Type: {content}", length, "Connection: close")
    return "\r\n".join((*lines, "", "")).encode()


def _delta(delta: dict[str, str], reason: str | None = None) -> dict[str, Any]:
    return _chunk([{"index": 0, "delta": delta, "finish_reason": reason}])


def _chunk(choices: list[Any]) -> dict[str, Any]:
    return {
        "id": "answer",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "fake",
        "choices": choices,
    }


def _send(writer: asyncio.StreamWriter, data: object) -> None:
    event = f"data: {data if isinstance(data, str) else json.dumps(data)}\n\n".encode()
    writer.write(b"%x\r\n%b\r\n" % (len(event), event))
