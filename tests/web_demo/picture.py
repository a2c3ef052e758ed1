"""Makes the README's picture: ``PYTHONPATH=tests python -m web_demo.picture docs/demo-web.png``.

The picture shows the page after one reader has moved to another instance and a second one is cut.
"""

from __future__ import annotations

import asyncio
import sys

from support.servers import ValkeyServer
from web_demo.browser import chromium
from web_demo.demo import LOST, Demo, until, visiting


async def make(path: str) -> None:
    with ValkeyServer(port=6379) as server:
        async with Demo(server.url) as demo, chromium() as browser:
            context = await browser.new_context(viewport={"width": 920, "height": 600})
            async with visiting(context, demo.url) as visit:
                await visit.reads(250)
                await visit.button("Switch instance").click()
                await visit.says("resumed once")
                await visit.reads(500)
                await visit.button("Open a second reader").click()
                await visit.reads(500, 2)
                await visit.button("Offline for 5 s", 2).click()
                await visit.says(LOST, 2)
                behind = len(await visit.text(2))
                await visit.reads(behind + 80)
                await until(visit.row(2).inner_text, lambda text: "not connected" in text)
                await visit.page.mouse.move(0, 0)
                await visit.page.screenshot(path=path, full_page=True, animations="disabled")


if __name__ == "__main__":
    asyncio.run(make(sys.argv[1]))
