"""A server of one model, with OpenAI's chat completions; some questions make it misbehave."""

from __future__ import annotations

import asyncio
import json
from typing import Any, Self

WORDS = ("Because ", "of ", "that", ", \N{ROCKET}", "\n\nand ", "of this.")
FREE = 4
HOLD_BACK = "hold back"  # sends nothing, not even a head
END_EARLY = "end early"  # ends in good order, but without a finish_reason
BREAK_OFF = "break off"
ADMIT_ERROR = "admit an error"
REFUSE = "refuse"


class Call:
    """One request, and whether its client has left before the answer was over."""

    def __init__(self, question: str) -> None:
        self.question = question
        self.left = asyncio.Event()


class FakeModel:
    """A model whose answers wait for ``let_go`` after ``FREE`` words; ``async with`` runs it.

    Attributes:
        url: the ``OPENAI_BASE_URL``.
        calls: the requests that came, in order.
    """

    def __init__(self) -> None:
        self.url = ""
        self.calls: list[Call] = []
        self._may_go_on = asyncio.Event()
        self._connections: set[asyncio.Task[None]] = set()

    def let_go(self) -> None:
        self._may_go_on.set()

    def leash(self) -> None:
        self._may_go_on.clear()

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
        call = Call((await _request(reader))["messages"][-1]["content"])
        self.calls.append(call)
        answering = asyncio.create_task(self._answer(call.question, writer))
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

    async def _answer(self, question: str, writer: asyncio.StreamWriter) -> None:
        if question == HOLD_BACK:
            await asyncio.Event().wait()
        if question == REFUSE:
            content = json.dumps({"error": {"message": "no such model"}}).encode()
            writer.write(_head("400 Bad Request", f"Content-Length: {len(content)}") + content)
            await writer.drain()
            return
        writer.write(_head("200 OK", "Transfer-Encoding: chunked", "text/event-stream"))
        _send(writer, _delta({"role": "assistant", "content": ""}))
        for number, word in enumerate(WORDS):
            if number == FREE:
                await writer.drain()
                await self._may_go_on.wait()
                if question == BREAK_OFF:
                    return
                if question == ADMIT_ERROR:
                    _send(writer, {"error": {"message": "the model is out of tokens"}})
            _send(writer, _delta({"content": word}))
        if question != END_EARLY:
            _send(writer, _delta({}, "stop"))
            _send(writer, _chunk([]))
            _send(writer, "[DONE]")
        writer.write(b"0\r\n\r\n")
        await writer.drain()


async def _request(reader: asyncio.StreamReader) -> Any:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    assert head.startswith("post /v1/chat/completions "), head
    body = json.loads(
        await reader.readexactly(int(head.partition("content-length:")[2].split()[0]))
    )
    assert body["stream"] is True
    return body


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
