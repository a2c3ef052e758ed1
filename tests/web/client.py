"""HTTP clients of event streams: one request at a time, or a browser's ``EventSource``."""

from __future__ import annotations

import asyncio
import itertools
import json
import socket
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx

from event_source import Event, EventParser

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from processes.texts import Source

PATIENCE = 30.0
LAST = ("done", "stream-error")


@dataclass
class Answer:
    """One response, as far as it was read."""

    status: int
    headers: httpx.Headers
    _blocks: AsyncIterator[bytes]

    def __post_init__(self) -> None:
        self.parser = EventParser()
        self._ready: list[Event] = []

    async def events(self, count: int | None = None) -> list[Event]:
        """Read so many more events; without a number, all to the end of the response."""
        found: list[Event] = []
        async with asyncio.timeout(PATIENCE):
            while count is None or len(found) < count:
                if self._ready:
                    found.append(self._ready.pop(0))
                elif (block := await anext(self._blocks, None)) is None:
                    break
                else:
                    self._ready += self.parser.feed(block)
        return found

    async def first_block(self) -> None:
        """Wait until the response has begun to come."""
        async with asyncio.timeout(PATIENCE):
            self._ready += self.parser.feed(await anext(self._blocks))

    async def json(self) -> Any:
        return json.loads(b"".join([block async for block in self._blocks]))


@asynccontextmanager
async def get(url: str, last_event_id: str | None = None, **query: Any) -> AsyncIterator[Answer]:
    """Ask, on a connection of its own; leaving the block cuts it."""
    headers = {"Accept": "text/event-stream"}
    if last_event_id:
        headers["Last-Event-ID"] = last_event_id
    # Little room on the way: a client that does not read soon makes the server wait.
    transport = httpx.AsyncHTTPTransport(
        socket_options=[(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)]
    )
    async with (
        httpx.AsyncClient(timeout=PATIENCE, transport=transport) as client,
        client.stream("GET", url, headers=headers, params=query) as response,
    ):
        yield Answer(response.status_code, response.headers, response.aiter_raw())


async def ask(url: str, method: str = "GET", **query: Any) -> Any:
    """One small request, answered with JSON or with nothing."""
    async with httpx.AsyncClient(timeout=PATIENCE) as client:
        response = await client.request(method, url, params=query)
    response.raise_for_status()
    return response.json() if response.content else None


async def follow(
    urls: Sequence[str], seen: Sequence[Event] = (), cut_every: int | None = None, **query: Any
) -> list[Event]:
    """Do what a browser's ``EventSource`` does, each time at the next of the URLs.

    Come back with the last id whenever the response ends or the connection is cut, or cut it
    oneself after so many events; until a last event, or an answer that is no stream.
    """
    events = list(seen)
    for url in itertools.cycle(urls):
        last = events[-1].id if events else None
        try:
            async with get(url, last, **query) as answer:
                if answer.status != httpx.codes.OK:
                    break
                while more := await answer.events(1):
                    events += more
                    if events[-1].event in LAST:
                        return events
                    if cut_every and len(events) % cut_every == 0:
                        break
        except httpx.TransportError:
            await asyncio.sleep(0.1)
    return events


def texts_of(events: Sequence[Event]) -> list[str]:
    """The chunks, of events in the format ``JSON``."""
    return [event.json for event in events if event.event == "message"]


def check_complete(events: Sequence[Event], source: Source) -> None:
    """All of the text, chunk by chunk, and its end."""
    assert texts_of(events) == list(source.chunks())
    assert (events[-1].event, events[-1].id) == ("done", "end")


def recipe(source: Source) -> str:
    return json.dumps(source.to_json())
