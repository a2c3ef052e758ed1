"""A real ``EventSource`` (that of Node.js), which resumes without any code in the page."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

from processes.texts import Source
from support.fault_proxy import FaultProxy
from web.client import ask
from web.page import Page, with_source

if TYPE_CHECKING:
    from web.conftest import Serve

# The source yields surrogates, lone ones included, since a stream can carry every text.
SOURCE = Source(kind="surrogates", count=5, gated_from=20)


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
