"""Drives the endpoints that the documents show, as their clients do, over real connections."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from support.event_source import Event, EventParser
from support.servers import eventually
from web.carried_on import drive_cursor, drive_prefix, drive_start_over
from web.chats import drive_use_chat
from web.client import (
    LAST,
    PATIENCE,
    Answer,
    answers,
    ask,
    get,
    http_client,
    status_of,
    texts_of,
)
from web.fake_model import (
    ADMIT_ERROR,
    BREAK_OFF,
    END_EARLY,
    HOLD_BACK,
    REFUSE,
    WORDS,
)
from web.outage import drive_outage
from web.queue_workers import drive_taskiq
from web.stage import Stage, staged

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    import httpx


async def drive(way: str, program: Path, redis_url: str) -> None:
    """Run the program as two processes on Redis; ``fastapi`` and ``chat`` as one in memory, too."""
    if way == "outage":
        await drive_outage(program, redis_url)
        return
    urls = ["memory://documentation", redis_url] if way in ("fastapi", "chat") else [redis_url]
    for url in urls:
        async with staged(way, program, url) as stage:
            await DRIVERS[way](stage)


async def drive_offsets(stage: Stage) -> None:
    """At one idempotent endpoint: start, be cut, resume by offset, and come after the end."""
    path = f"/answers/{stage.name}"
    async with asyncio.timeout(PATIENCE), get(stage.here + path) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        text = await text_of(answer.blocks, 3)
    async with get(stage.there + path, resume_at=utf16(text)) as answer:
        stage.let_go()
        text += await text_of(answer.blocks)
    assert text == "".join(f"data: chunk {number}\n\n" for number in range(10))
    for server in (stage.here, stage.there):
        # For a while after the end, a request that names a place gets the rest of the text.
        async with get(server + path, resume_at=utf16(text) - 3) as late:
            assert await text_of(late.blocks) == text[-3:]
        assert await status_of(server + path) == 422


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
    async with get(stage.here + path, resume_at=str(utf16(data))) as late:
        assert await late.events() == events[3:]
    assert await status_of(stage.there + path) == 422
    assert await status_of(f"{stage.there}/chat/unknown/stream") == 422


async def drive_events(stage: Stage) -> list[Event]:
    """As ``EventSource`` does: be cut, resume by the last id, read the end, and then get 204."""
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
    for server in (stage.here, stage.there):
        # For a while after the end, a request that names a place gets the rest, and the end.
        async with get(server + path, events[-3].id) as late:
            assert await late.events() == events[-2:]
        for place in (events[-1].id, None):
            assert await status_of(server + path, place) == 204
    for hostile in ("x", "1-", "9" * 400, "%00", "../../etc"):
        assert await status_of(stage.there + path, hostile) == 400
    return events


async def drive_endpoint(stage: Stage) -> None:
    """A page that got 204 asks for the state, and for the text, which is stored at each ending."""
    path = f"/answers/{stage.name}"
    assert await ask(f"{stage.there}{path}/status") == {"state": "not_found", "text": None}
    events = await drive_events(stage)
    text = "".join(event.data for event in events[:-1])
    for server in (stage.here, stage.there):
        assert await ask(f"{server}{path}/status") == {"state": "completed", "text": text}

    stage.leash()
    async with get(f"{stage.here}{path}-stopped") as answer:
        (first,) = await answer.events(1)
        assert await ask(f"{stage.there}{path}-stopped/status") == {"state": "active", "text": None}
        assert await ask(f"{stage.there}{path}-stopped/stop", "POST") == {"result": "cancelled"}
        assert (await answer.events())[-1].json["code"] == "cancelled"
    stopped = {"state": "cancelled", "text": first.data}
    assert await ask(f"{stage.there}{path}-stopped/status") == stopped

    async with get(f"{stage.here}{path}-failed") as answer:
        (first,) = await answer.events(1)
        stage.let_fail()
        assert (await answer.events())[-1].json["code"] == "failed"
    failed = {"state": "failed", "text": first.data}
    assert await ask(f"{stage.there}{path}-failed/status") == failed
    await stop(stage)


async def drive_events_and_stop(stage: Stage) -> None:
    await drive_events(stage)
    await stop(stage)


async def stop(stage: Stage) -> None:
    """A server that stops cuts its open answer and does not wait for it, whatever the framework."""
    stage.leash()
    async with get(f"{stage.here}/answers/{stage.name}-open") as answer:
        await answer.events(1)
        stage.servers[0].terminate()
        assert not [event for event in await answer.events() if event.event in LAST]
    stage.let_go()
    await stage.servers[0].wait()


async def leave(stage: Stage, path: str) -> None:
    """The reader of a client that leaves during silence ends, long before a heartbeat."""
    async with get(stage.there + path) as answer:
        await answer.events(3)
        assert await ask(f"{stage.there}/listeners") == 1
    await answers(f"{stage.there}/listeners", 0)


async def drive_owners(stage: Stage) -> None:
    """Two users and one name: neither can reach the other's stream, or notice that it exists."""
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


async def drive_openai(stage: Stage) -> None:
    """The model is asked once; a stop closes its connection; an incomplete answer is a failure."""
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
    "events": drive_events_and_stop,
    "endpoint": drive_endpoint,
    "aiohttp": drive_events,
    "owners": drive_owners,
    "use-chat": drive_use_chat,
    "openai": drive_openai,
    "cursor": drive_cursor,
    "prefix": drive_prefix,
    "start-over": drive_start_over,
    "taskiq": drive_taskiq,
}


async def text_of(blocks: AsyncIterator[bytes], events: int | None = None) -> str:
    """Read text until it has this number of whole events, or to the end."""
    text = b""
    async for block in blocks:
        text += block
        if events is not None and text.count(b"\n\n") >= events:
            break
    return text.decode()


@asynccontextmanager
async def posted(url: str, **headers: str) -> AsyncIterator[httpx.Response]:
    async with (
        http_client() as client,
        client.stream("POST", url, headers=headers) as response,
    ):
        yield response


def utf16(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2
