"""A real ``EventSource`` (that of Node.js), which resumes without any code in the page."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import httpx

from processes.texts import Source
from support.fault_proxy import FaultProxy
from support.npm import NODE
from web.client import PATIENCE, ask, recipe

if TYPE_CHECKING:
    from web.conftest import Serve

_PAGE = Path(__file__).parent / "event_source.mjs"
# The source yields surrogates, lone ones included, since a stream can carry every text.
SOURCE = Source(kind="surrogates", count=5, gated_from=20)


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

    async def wait_for(self, kind: str, count: int = 1) -> None:
        """Wait until the page has reported ``count`` events of this kind; "exit" is its end."""
        assert self._process.stdout is not None
        async with asyncio.timeout(PATIENCE):
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


async def test_browser_resumes_by_itself_on_another_instance(serve: Serve, stream: str) -> None:
    here, there = await asyncio.gather(serve(), serve())
    async with FaultProxy(here.port) as proxy:
        url = f"http://127.0.0.1:{proxy.port}/events/{stream}"
        async with Page(with_source(url, SOURCE)) as page:
            await page.wait_for("message", 20)
            proxy.aim_at(there.port)
            proxy.cut()
            await page.wait_for("open", 2)
            # A cut in the middle of an event: the event comes again, whole.
            await ask(f"{here.url}/release/{stream}", "POST", permits=1)
            await page.wait_for("message", 21)
            proxy.to_client.cut_after = 10
            await ask(f"{here.url}/release/{stream}", "POST", permits=1)
            await page.wait_for("error", 2)
            proxy.to_client.cut_after = None
            await page.wait_for("message", 22)
            await ask(f"{here.url}/release/{stream}", "POST")
            await page.wait_for("exit")
    page.check_texts(SOURCE)
    assert [told["closed"] for told in page.of("error")] == [False, False]
    assert json.loads(page.of("done")[0]["data"]) == {"code": "completed"}
    assert proxy.accepted >= 3


async def test_browser_that_stays_after_the_end_is_sent_away(serve: Serve, stream: str) -> None:
    failing = Source(count=3, fail_at=3)
    server = await serve()
    for source, last in ((Source(count=3), "done"), (failing, "stream-error")):
        url = with_source(f"{server.url}/events/{stream}-{last}", source)
        async with Page(url, "stay") as page:
            await page.wait_for("exit")
        page.check_texts(source)
        assert len(page.of(last)) == 1
        # The first error is the end of the response, the second one is the answer 204.
        assert [told["closed"] for told in page.of("error")] == [False, True]


def with_source(url: str, source: Source) -> str:
    return str(httpx.URL(url, params={"source": recipe(source)}))


def utf16(text: str) -> bytes:
    return text.encode("utf-16-le", "surrogatepass")
