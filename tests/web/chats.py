"""Drives the endpoints for ``useChat`` that a document shows, as a page does."""

from __future__ import annotations

import json
import uuid
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from redis.asyncio import Redis

from web.client import Answer, ask, get, http_client, status_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from web.stage import Stage


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
    stored = await stored_message(stage, parts[0]["messageId"])
    assert stored == ("One two three four five ", "completed")

    stage.leash()
    async with chatted(stage.there, stage.name) as started, get(stage.here + stream) as resumed:
        second = await started.events(6)
        assert second[0].json["messageId"] != parts[0]["messageId"]
        assert await resumed.events(6) == second
        assert await ask(stage.here + stop, "POST") == {"result": "cancelled"}
        for answer in (started, resumed):
            abort, done = await answer.events()
            assert (abort.json["type"], done.data) == ("abort", "[DONE]")
    assert await stored_message(stage, second[0].json["messageId"]) == (
        "One two three four ",
        "cancelled",
    )
    assert await status_of(stage.there + stream) == 204
    assert await ask(stage.there + stop, "POST") == {"result": "not_found"}

    # The chat's stream is known, but not started yet, or forgotten by the broker.
    async with Redis.from_url(stage.redis_url) as answers:
        await answers.set(f"chat:{stage.name}", str(uuid.uuid4()))
    assert await status_of(stage.there + stream) == 204


async def stored_message(stage: Stage, answer_id: str) -> tuple[str, str]:
    async with Redis.from_url(stage.redis_url) as answers:
        stored = await answers.get(f"message:{answer_id}")
    assert stored is not None
    message = json.loads(stored)
    assert (message["id"], message["role"]) == (answer_id, "assistant")
    return message["parts"][0]["text"], message["metadata"]["ending"]


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
