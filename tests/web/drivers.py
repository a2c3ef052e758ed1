"""Drives the endpoints that the documents show, as their clients do, over real connections."""

from __future__ import annotations

import asyncio
import uuid
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

from redis.asyncio import Redis

from event_source import Event, EventParser
from servers import eventually
from web.client import PATIENCE, Answer, answers, ask, get, http_client, texts_of
from web.fake_model import (
    ADMIT_ERROR,
    BREAK_OFF,
    END_EARLY,
    HOLD_BACK,
    REFUSE,
    WORDS,
    FakeModel,
)
from web.server import WebServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    import httpx

KEY = "an example's key, of 16 bytes or more"


class Stage:
    """Two server processes of the application shown, or twice the same one.

    Attributes:
        redis_url: where they meet.
        model: answers those that ask OpenAI.
    """

    def __init__(
        self, servers: list[WebServer], redis_url: str, gate: Path, kind: str, model: FakeModel
    ) -> None:
        self.redis_url = redis_url
        self.tells_listeners = kind == "uvicorn"
        self.servers = servers
        self.here = servers[0].url
        self.there = servers[-1].url
        self.name = f"documented-{uuid.uuid4()}"
        self.model = model
        self._gate = gate

    def let_go(self) -> None:
        """The source goes on, to its end."""
        self._open("")

    def let_fail(self) -> None:
        """The source goes on, and raises."""
        self._open("fail")

    def leash(self) -> None:
        self._gate.unlink(missing_ok=True)
        self.model.leash()

    def _open(self, manner: str) -> None:
        # Whole from the start: the source looks at any time.
        written = self._gate.with_suffix(".written")
        written.write_text(manner, encoding="utf-8")
        written.replace(self._gate)
        self.model.let_go()


async def drive(way: str, program: Path, redis_url: str) -> None:
    """Run it as two processes on Redis; what the document announces, as one in memory, too."""
    urls = ["memory://documentation", redis_url] if way in ("fastapi", "chat") else [redis_url]
    for url in urls:
        async with staged(way, program, url) as stage:
            await DRIVERS[way](stage)


@asynccontextmanager
async def staged(way: str, program: Path, url: str) -> AsyncIterator[Stage]:
    """Serve it, with its source on a leash."""
    gate = program.with_suffix(".gate")
    kind, application = SERVERS.get(way, ("uvicorn", "web.documented:app"))
    async with FakeModel() as model, AsyncExitStack() as stack:
        environment = {
            "SNIPPET": str(program),
            "GATE": str(gate),
            "REDIS_URL": url,
            "STREAM_OWNER_KEY": KEY,
            "OPENAI_BASE_URL": model.url,
            "OPENAI_API_KEY": "nobody asks for it",
        }
        servers = [
            WebServer(kind, application, environment=environment)
            for _ in range(1 if url.startswith("memory") else 2)
        ]
        await asyncio.gather(*(stack.enter_async_context(server) for server in servers))
        stage = Stage(servers, url, gate, kind, model)
        stage.leash()
        yield stage


async def drive_offsets(stage: Stage) -> None:
    """One idempotent endpoint: start, be cut, resume by offset, come when it is over."""
    path = f"/answers/{stage.name}"
    async with asyncio.timeout(PATIENCE), get(stage.here + path) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        text = await text_of(answer.blocks, 3)
    async with get(stage.there + path, resume_at=utf16(text)) as answer:
        stage.let_go()
        text += await text_of(answer.blocks)
    assert text == "".join(f"data: chunk {number}\n\n" for number in range(10))
    assert await status_of(stage.there + path, resume_at=len(text)) == 422


async def drive_chat(stage: Stage) -> None:
    """POST starts, GET resumes by the characters of the data received."""
    parser = EventParser()
    async with posted(f"{stage.here}/chat") as response:
        path = f"/chat/{response.headers['X-Stream-Id']}/stream"
        events: list[Event] = []
        async for block in response.aiter_raw():
            events += parser.feed(block)
            if len(events) == 3:
                break
    data = "".join(event.data for event in events)
    async with get(stage.there + path, resume_at=str(utf16(data))) as answer:
        stage.let_go()
        events += await answer.events()
    # Each chunk is an event, before the cut and after it.
    assert [event.data for event in events] == [f"word {number} " for number in range(10)]
    assert await status_of(stage.there + path, resume_at="3") == 422
    assert await status_of(f"{stage.there}/chat/unknown/stream") == 422


async def drive_events(stage: Stage) -> list[Event]:
    """``EventSource``'s own way: be cut, resume by the last id, be told the end, be sent away."""
    path = f"/answers/{stage.name}"
    async with get(stage.here + path) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["cache-control"] == "no-cache, no-transform"
        assert answer.headers["x-accel-buffering"] == "no"
        events = await answer.events(3)
    if stage.tells_listeners:
        await leave(stage, path)
    async with get(stage.there + path) as whole, get(stage.there + path, events[-1].id) as answer:
        stage.let_go()
        events += await answer.events()
        assert events == await whole.events()
    assert events[-1].event == "done"
    assert len({event.id for event in events}) == len(events) > 4
    for place in (events[-1].id, events[-2].id, None):
        assert await status_of(stage.here + path, place) == 204
    for hostile in ("x", "1-", "9" * 400, "%00", "../../etc"):
        assert await status_of(stage.there + path, hostile) == 400
    return events


async def leave(stage: Stage, path: str) -> None:
    """A client that goes away during silence takes its reader along, long before a heartbeat."""
    async with get(stage.there + path) as answer:
        await answer.events(3)
        assert await ask(f"{stage.there}/listeners") == 1
    await answers(f"{stage.there}/listeners", 0)


async def drive_owners(stage: Stage) -> None:
    """Two users and one name: nobody reaches the other's stream, and can tell that there is one."""
    path = f"/answers/{stage.name}"
    async with (
        http_client() as client,
        AsyncExitStack() as stack,
    ):

        async def as_user(method: str, server: str, path: str, user: str) -> httpx.Response:
            headers = {"Authorization": f"Bearer {user}"}
            return await client.request(method, server + path, headers=headers)

        async with posted(stage.here + path, authorization="Bearer ann") as started:
            assert started.status_code == 200
            events = await Answer(200, started.headers, started.aiter_raw()).events(3)
        assert (await as_user("POST", stage.there, path, "ann")).status_code == 409
        answer = await stack.enter_async_context(
            get(stage.there + path, events[-1].id, authorization="Bearer ann")
        )
        for server in (stage.here, stage.there):
            for method, more in (("GET", ""), ("GET", "/status"), ("DELETE", "")):
                stranger = await as_user(method, server, path + more, "bob")
                unknown = await as_user(method, server, "/answers/nobody-has-it" + more, "bob")
                assert stranger.status_code == unknown.status_code == 404
                assert stranger.content == unknown.content
        assert (await as_user("GET", stage.there, f"{path}/status", "ann")).json() == {
            "state": "active"
        }
        assert (await as_user("DELETE", stage.there, path, "ann")).json() == {"result": "cancelled"}
        events += await answer.events()
        assert [event.data for event in events[:3]] == ["One", "two", "three"]
        assert events[-1].event == "stream-error"
        assert events[-1].json["code"] == "cancelled"


async def drive_use_chat(stage: Stage) -> None:
    """Every turn of a chat is a stream of its own, which is resumed from its start."""
    stream, stop = (f"/api/chat/{stage.name}/{what}" for what in ("stream", "stop"))
    assert await status_of(stage.there + stream) == 204
    async with chatted(stage.here, stage.name) as started:
        first = await started.events(6)
    async with get(stage.there + stream) as whole:
        assert whole.headers["content-type"].startswith("text/event-stream")
        assert whole.headers["x-vercel-ai-ui-message-stream"] == "v1"
        stage.let_go()
        events = await whole.events()
    assert events[:6] == first
    assert events.pop().data == "[DONE]"
    parts = [event.json for event in events]
    assert "".join(part.get("delta", "") for part in parts) == "One two three four five "
    assert [part["type"] for part in parts if part["type"] != "text-delta"] == [
        *("start", "text-start", "text-end", "finish")
    ]
    for server in (stage.here, stage.there):
        assert await status_of(server + stream) == 204

    stage.leash()
    async with chatted(stage.there, stage.name) as started, get(stage.here + stream) as resumed:
        second = await started.events(6)
        assert second[0].json["messageId"] != parts[0]["messageId"]
        assert await resumed.events(6) == second
        assert await ask(stage.here + stop, "POST") == {"result": "cancelled"}
        for answer in (started, resumed):
            abort, done = await answer.events()
            assert (abort.json["type"], done.data) == ("abort", "[DONE]")
    assert await status_of(stage.there + stream) == 204
    assert await ask(stage.there + stop, "POST") == {"result": "not_found"}

    # Remembered, but not yet started, or forgotten by the broker.
    async with Redis.from_url(stage.redis_url) as answers:
        await answers.set(f"chat:{stage.name}", str(uuid.uuid4()))
    assert await status_of(stage.there + stream) == 204


@asynccontextmanager
async def chatted(server: str, chat: str) -> AsyncIterator[Answer]:
    """Send a chat with one message, and read the answer."""
    message = {"id": "1", "role": "user", "parts": [{"type": "text", "text": "Count!"}]}
    async with (
        http_client() as client,
        client.stream(
            "POST", f"{server}/api/chat", json={"id": chat, "messages": [message]}
        ) as response,
    ):
        assert response.headers["x-vercel-ai-ui-message-stream"] == "v1"
        yield Answer(response.status_code, response.headers, response.aiter_raw())


async def drive_openai(stage: Stage) -> None:
    """The model is asked once, and hung up on when stopped; half an answer is none."""
    events = await drive_events(stage)
    assert texts_of(events) == list(WORDS)
    assert [call.left.is_set() for call in stage.model.calls] == [False]

    stage.leash()
    for question, known in (("Why not", WORDS[:3]), (HOLD_BACK, ())):
        path = f"/answers/{stage.name} {question}"
        async with get(stage.here + path, question=question) as answer:
            events = await answer.events(len(known))
            await eventually(lambda: len(stage.model.calls) > 1, "the call")
            call = stage.model.calls.pop()
            assert await ask(f"{stage.there}{path}/stop", "POST") == {"result": "cancelled"}
            await asyncio.wait_for(call.left.wait(), PATIENCE)
            events += await answer.events()
        assert texts_of(events)[: len(known)] == list(known)
        assert events[-1].json["code"] == "cancelled"

    stage.let_go()
    for question in (END_EARLY, BREAK_OFF, ADMIT_ERROR, REFUSE):
        async with get(
            f"{stage.there}/answers/{stage.name} {question}", question=question
        ) as answer:
            last = (await answer.events())[-1]
        assert (last.event, last.json["code"]) == ("stream-error", "failed"), question


DRIVERS: dict[str, Callable[[Stage], Awaitable[object]]] = {
    "fastapi": drive_offsets,
    "chat": drive_chat,
    "events": drive_events,
    "aiohttp": drive_events,
    "owners": drive_owners,
    "use-chat": drive_use_chat,
    "openai": drive_openai,
}
SERVERS = {"aiohttp": ("aiohttp", "web.documented:make_app")}


async def text_of(blocks: AsyncIterator[bytes], events: int | None = None) -> str:
    """Text up to so many whole events, or to the end."""
    text = b""
    async for block in blocks:
        text += block
        if events is not None and text.count(b"\n\n") >= events:
            break
    return text.decode()


async def status_of(url: str, last_event_id: str | None = None, **query: Any) -> int:
    async with get(url, last_event_id, **query) as answer:
        return answer.status


@asynccontextmanager
async def posted(url: str, **headers: str) -> AsyncIterator[httpx.Response]:
    async with (
        http_client() as client,
        client.stream("POST", url, headers=headers) as response,
    ):
        yield response


def utf16(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2
