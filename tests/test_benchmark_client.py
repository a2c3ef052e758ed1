"""The benchmark's client decodes a response however it is cut, and reports what is wrong."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from benchmarks.agent.texts import CHUNK, text_of
from benchmarks.agent.web.client import Client
from benchmarks.agent.web.decoding import BadResponseError, Body, events_of
from benchmarks.agent.web.limits import allow_connections
from benchmarks.agent.web.received import Received

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

TEXT = text_of("salt", 4)
CHUNKS = [TEXT[at : at + CHUNK] for at in range(0, len(TEXT), CHUNK)]
EVENTS = "".join(f"data: {chunk}\nid: {at}\n\n" for at, chunk in enumerate(CHUNKS))
HEAD = b"HTTP/1.1 200 OK\r\n"
AS_EVENTS = b"Content-Type: text/event-stream; charset=utf-8\r\n"


def chunked(*parts: str) -> bytes:
    blocks = [part.encode() for part in (*parts, "")]
    body = b"".join(b"%x\r\n%s\r\n" % (len(block), block) for block in blocks)
    return b"Transfer-Encoding: chunked\r\n\r\n" + body


def plain(text: str) -> bytes:
    return b"Content-Length: %d\r\n\r\n%s" % (len(text), text.encode())


@asynccontextmanager
async def serving(*pieces: bytes) -> AsyncIterator[int]:
    """Answer every request with these pieces, each sent by itself."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def read(*pieces: bytes, chunks: int = len(CHUNKS)) -> list[str]:
    """Return what the client finds wrong with a response."""
    client = Client()
    async with serving(*pieces) as port:
        await client.do_attach(port, ["salt"], chunks=len(CHUNKS), mark=1)
        found: list[str] = (await client.do_read(counts={"salt": chunks}))["faults"]
    return found


@pytest.mark.parametrize("body", [chunked("one", "two" * 99), plain("one" + "two" * 99)])
def test_body_is_the_same_at_every_cut(body: bytes) -> None:
    whole = HEAD + body
    for cut in range(len(whole) + 1):
        decoded = Body()
        found = decoded.feed(whole[:cut]) + decoded.feed(whole[cut:])
        assert (found, decoded.ended) == (b"one" + b"two" * 99, True)


def test_body_comes_whole_byte_by_byte() -> None:
    decoded = Body()
    found = [decoded.feed(bytes([byte])) for byte in HEAD + AS_EVENTS + chunked("a", "\r\n", "c")]
    assert (b"".join(found), decoded.ended, decoded.has_events) == (b"a\r\nc", True, True)


@pytest.mark.parametrize(
    "response",
    [
        b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
        HEAD + b"Server: x\r\n\r\ntext without a length",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\nabc0\r\n\r\n",
    ],
)
def test_other_response_is_an_error(response: bytes) -> None:
    with pytest.raises(BadResponseError):
        Body().feed(response)


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
def test_events_are_the_unnamed_ones(end: str) -> None:
    lines = ": ping||retry: 1||data: a|data:b|id: 1||event: done|data: c||"
    body = lines.replace("|", end).encode()
    [(data, at)] = events_of(body)
    assert (data, body[at:].split(b":")[0]) == (b"a\nb", b"event")


@pytest.mark.parametrize(
    ("pieces", "fault"),
    [
        ([HEAD, AS_EVENTS, chunked("retry: 1\n\n", EVENTS, "event: done\ndata: x\n\n")], None),
        ([HEAD, chunked(TEXT[:50], TEXT[50:])], None),
        ([HEAD, plain(TEXT)], None),
        ([HEAD, chunked(*CHUNKS[:3])], "at 120"),
        ([HEAD, chunked(*CHUNKS, CHUNKS[3])], "at 160"),
        ([HEAD, chunked(CHUNKS[0], *CHUNKS[2:])], "at 40"),
        ([HEAD, chunked(TEXT)[:-5]], "the response was cut"),
        ([HEAD, plain(TEXT)[:-1]], "the response was cut"),
        ([HEAD, chunked(TEXT).replace(b"\r\na0", b"\r\nx0")], "b'x0' is not the size of a chunk"),
        ([b"HTTP/1.1 500 Oh\r\n\r\nit broke"], "answered 'HTTP/1.1 500 Oh'"),
    ],
)
async def test_client_sees_every_difference(pieces: list[bytes], fault: str | None) -> None:
    found = await read(*pieces)
    assert [text[: len(fault or "")] for text in found] == ([fault] if fault else [])


@pytest.mark.parametrize(
    ("head", "parts", "moments"),
    [
        # A chunk arrives with the last byte of its event, however the bytes are cut and gathered.
        (AS_EVENTS, (EVENTS[:-1], EVENTS[-1:]), [0, 0, 0, 1]),
        (AS_EVENTS, (EVENTS[:1], EVENTS[1:100], EVENTS[100:]), [1, 2, 2, 2]),
        (b"", (TEXT[:39], TEXT[39:80], TEXT[80:]), [1, 1, 2, 2]),
        (b"", (TEXT,), [0, 0, 0, 0]),
    ],
)
def test_chunk_arrives_with_its_last_byte(
    head: bytes, parts: tuple[str, ...], moments: list[int]
) -> None:
    pieces = [HEAD + head + b"Transfer-Encoding: chunked\r\n\r\n"]
    pieces += [b"%x\r\n%s\r\n" % (len(part), part.encode()) for part in parts]
    received = Received(pieces, [-1, *range(len(parts))])
    assert list(received.arrivals()) == moments


async def test_latencies_are_those_of_the_chunks_after_the_first() -> None:
    client = Client()
    async with serving(HEAD + AS_EVENTS + chunked(EVENTS)) as port:
        await client.do_attach(port, ["salt"], chunks=4, mark=4)
        found = await client.do_arrivals(mark=4)
        await client.do_read()
        latencies = await client.do_latencies({"salt": [2**62, 0]})
    assert found["faults"] == []
    assert 0 < found["first_ms"] <= found["caught_up_ms"]
    assert latencies["p50_ms"] > 0


async def test_text_that_stops_before_the_mark_is_told() -> None:
    client = Client()
    async with serving(HEAD + chunked(*CHUNKS[:2])) as port:
        await client.do_attach(port, ["salt"], chunks=4, mark=3)
        assert (await client.do_arrivals(mark=3))["faults"] == ["ended after 2 of 3 chunks"]


async def test_failed_status_request_is_told() -> None:
    client = Client()
    async with serving(b"HTTP/1.1 500 Oh\r\n\r\n") as port:
        await client.do_poll(port, "/status/x", every=0.001)
        with pytest.raises(RuntimeError, match="500"):
            await client.do_polled()


def test_too_many_connections_are_refused_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("resource.getrlimit", lambda _: (256, 1_000))
    raised: list[tuple[int, int]] = []
    monkeypatch.setattr("resource.setrlimit", lambda _, limits: raised.append(limits))
    allow_connections(100)
    allow_connections(500)
    assert raised == [(600, 1_000)]
    with pytest.raises(OSError, match="ulimit -n 5100"):
        allow_connections(5_000)
