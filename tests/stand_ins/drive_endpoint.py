"""Run the README's endpoint: start, lose the connection, resume, come back when it is over."""

from __future__ import annotations

import asyncio
import runpy
import sys

import pytest


async def drive(path: str) -> None:
    snippet = runpy.run_path(path)
    (endpoint,) = snippet["app"].routes.values()
    expected = "".join([event async for event in snippet["answer"]()])

    response = await endpoint("an-answer")
    assert response.media_type == "text/event-stream"
    events = aiter(response.content)
    text = await anext(events) + await anext(events)
    await events.aclose()

    response = await endpoint("an-answer", resume_at=len(text))
    text += "".join([event async for event in response.content])
    assert text == expected

    with pytest.raises(snippet["HTTPException"]) as refusal:
        await endpoint("an-answer", resume_at=len(text))
    assert refusal.value.status_code == 422
    await snippet["streams"].aclose()


asyncio.run(drive(sys.argv[1]))
