"""A HEAD request has the headers of the answer, and starts no stream."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from processes.texts import Source
from web.client import ask, get, http_client, recipe

if TYPE_CHECKING:
    from web.conftest import Serve

SOURCE = Source(count=5, gated_from=3)


@pytest.mark.parametrize("kind", ["uvicorn", "hypercorn", "granian"])
async def test_head_starts_nothing(kind: str, serve: Serve, stream: str) -> None:
    server = await serve(kind)
    url = f"{server.url}/events/{stream}"
    async with http_client() as client:
        head = await client.head(url, params={"source": recipe(SOURCE)})
    assert (head.status_code, head.content) == (200, b"")
    assert await ask(f"{server.url}/status/{stream}") == "not_found"
    async with get(url, source=recipe(SOURCE)) as answer:
        await answer.first_block()
        for name in ("content-type", "cache-control", "x-accel-buffering"):
            assert head.headers[name] == answer.headers[name]
