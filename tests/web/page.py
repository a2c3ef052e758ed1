"""A page in a browser: a real ``EventSource``, that of Node.js."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import httpx

from support.npm import NODE
from web.client import PATIENCE, recipe

if TYPE_CHECKING:
    from processes.texts import Source

_PAGE = Path(__file__).parent / "event_source.mjs"


class Page:
    """A page that runs an ``EventSource``; ``told`` is what it has reported."""

    def __init__(self, url: str, manner: str = "close") -> None:
        self.told: list[dict[str, Any]] = []
        self._arguments = (str(NODE), "--experimental-eventsource", str(_PAGE), url, manner)

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            *self._arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            env=os.environ | {"NODE_NO_WARNINGS": "1"},
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if not self.of("exit"):
            self._process.kill()
        await self._process.wait()

    async def wait_for(self, kind: str, count: int = 1, patience: float = PATIENCE) -> None:
        """Wait until the page has reported ``count`` events of this kind; "exit" is its end."""
        assert self._process.stdout is not None
        async with asyncio.timeout(patience):
            while len(self.of(kind)) < count:
                line = await self._process.stdout.readline()
                assert line or kind == "exit", self.told
                self.told.append(json.loads(line) if line else {"type": "exit"})

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [told for told in self.told if told["type"] == kind]

    def check_texts(self, source: Source) -> None:
        """Compare the texts as JavaScript does: a pair of surrogates is one character."""
        texts = [json.loads(told["data"]) for told in self.of("message")]
        assert [utf16(text) for text in texts] == [utf16(text) for text in source.chunks()]


def with_source(url: str, source: Source, **query: str) -> str:
    return str(httpx.URL(url, params={"source": recipe(source), **query}))


def utf16(text: str) -> bytes:
    return text.encode("utf-16-le", "surrogatepass")
