"""HTTP clients of event streams: one request at a time, or a browser's ``EventSource``."""

from __future__ import annotations

import asyncio
import itertools
import json
import socket
import ssl
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx

from support.event_source import Event, EventParser

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from processes.texts import Source

PATIENCE = 30.0
_RETRY = 0.05
LAST = ("done", "stream-error")


# Nothing here speaks TLS, and loading the usual authorities takes longer than a request.
_NO_AUTHORITIES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def http_client(**options: Any) -> httpx.AsyncClient:
    return httpx.AsyncClient(timeout=PATIENCE, verify=_NO_AUTHORITIES, **options)


@dataclass
class Answer:
    """One response, as far as it was read."""

    status: int
    headers: httpx.Headers
    blocks: AsyncIterator[bytes]

    def __post_init__(self) -> None:
        self.parser = EventParser()
        self._ready: list[Event] = []

    async def events(self, count: int | None = None) -> list[Event]:
        """Read ``count`` more events; without a number, all to the end of the response."""
        found: list[Event] = []
        async with asyncio.timeout(PATIENCE):
            while count is None or len(found) < count:
                if self._ready:
                    found.append(self._ready.pop(0))
                elif (block := await anext(self.blocks, None)) is None:
                    break
                else:
                    self._ready += self.parser.feed(block)
        return found

    async def first_block(self) -> None:
        """Wait for the first block of the response."""
        async with asyncio.timeout(PATIENCE):
            self._ready += self.parser.feed(await anext(self.blocks))


@asynccontextmanager
async def get(
    url: str, last_event_id: str | None = None, authorization: str | None = None, **query: Any
) -> AsyncIterator[Answer]:
    """Send a request on a connection of its own, which is cut when the block is left."""
    headers = {"Accept": "text/event-stream"}
    if authorization:
        headers["Authorization"] = authorization
    if last_event_id:
        headers["Last-Event-ID"] = last_event_id
    # The receive buffer is small, so a client that does not read soon makes the server wait.
    transport = httpx.AsyncHTTPTransport(
        verify=_NO_AUTHORITIES,
        socket_options=[(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)],
    )
    async with (
        http_client(transport=transport) as client,
        client.stream("GET", url, headers=headers, params=query) as response,
    ):
        yield Answer(response.status_code, response.headers, response.aiter_raw())


async def status_of(url: str, last_event_id: str | None = None, **query: Any) -> int:
    async with get(url, last_event_id, **query) as answer:
        return answer.status


async def ask(url: str, method: str = "GET", **query: Any) -> Any:
    """Send a small request; return its answer, which is JSON, or None if it is empty."""
    async with http_client() as client:
        response = await client.request(method, url, params=query)
    response.raise_for_status()
    return response.json() if response.content else None


async def answers(url: str, expected: Any, limit: float = 5.0, **query: Any) -> None:
    """Ask until the answer is the one expected."""
    deadline = time.monotonic() + limit
    while (found := await ask(url, **query)) != expected:
        assert time.monotonic() < deadline, f"{url} keeps answering {found}, not {expected}"
        await asyncio.sleep(0.02)


class Follower:
    """Does what a browser's ``EventSource`` does, but connects to its URLs in turn.

    It connects again, with the last id, whenever the response ends or the connection is cut. It
    stops after a last event, or an answer that is no stream.

    Args:
        urls: where to connect.
        cuts: the numbers of events after which the follower cuts the connection itself.
        query: further parameters of each request.

    Attributes:
        events: all that have come.
        processes: the ids of those that have answered, if they tell.
        status: the status of the last answer.
        connections: how often it has connected.
    """

    def __init__(self, *urls: str, cuts: Sequence[int] = (), **query: Any) -> None:
        self.events: list[Event] = []
        self.processes: set[int] = set()
        self.status: int | None = None
        self.connections = 0
        self._urls = itertools.cycle(urls)
        self._cuts = frozenset(cuts)
        self._query = query

    async def follow(self, patience: float = PATIENCE) -> None:
        async with asyncio.timeout(patience):
            over = False
            while not over:
                over = await self._connect()
                await asyncio.sleep(_RETRY)

    async def _connect(self) -> bool:
        """Connect once, and read; return whether the stream is over."""
        last = self.events[-1].id if self.events else None
        try:
            async with get(next(self._urls), last, **self._query) as answer:
                self.status = answer.status
                self.connections += 1
                if answer.status != httpx.codes.OK:
                    return True
                if process := answer.headers.get("X-Process"):
                    self.processes.add(int(process))
                while more := await answer.events(1):
                    self.events += more
                    if self.events[-1].event in LAST:
                        return True
                    if len(self.events) in self._cuts:
                        break
        except httpx.TransportError:
            pass
        return False


def texts_of(events: Sequence[Event]) -> list[str]:
    """The chunks that these events, in the format ``JSON``, contain."""
    return [event.json for event in events if event.event == "message"]


def check_complete(events: Sequence[Event], source: Source) -> None:
    """Check that the events contain the whole text, chunk by chunk, and its end."""
    assert texts_of(events) == list(source.chunks())
    assert (events[-1].event, events[-1].id) == ("done", "end")


def recipe(source: Source) -> str:
    return json.dumps(source.to_json())
