"""The program ``demo --web`` and the page that it serves, as a visitor uses them."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import asynccontextmanager
from importlib.resources import files
from typing import TYPE_CHECKING, Self
from urllib.parse import urljoin

from support.programs import COMMAND, PATIENCE, environment
from support.servers import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from types import TracebackType

    from playwright.async_api import BrowserContext, Locator, Page, Request

TEXT = (files("resumable_stream") / "_cli/demo/web/answer.txt").read_text(encoding="utf-8")
COMPLETE = f"exactly what was written, {len(TEXT.encode('utf-16-le')) // 2:,} characters."
LOST = "Connection lost. The browser comes back by itself."

# Counts, in the page, the ``EventSource`` objects that its own script makes.
_COUNT_SOURCES = """
window.sources = 0;
window.EventSource = class extends EventSource {
  constructor(...all) { super(...all); window.sources += 1; }
};
"""


class Demo:
    """The program; it is ended as by Ctrl-C."""

    def __init__(self, url: str) -> None:
        self.url = ""
        self._arguments = ("demo", "--web", "--port", "0", "--url", url)

    @property
    def pid(self) -> int:
        return self._process.pid

    def children(self) -> list[int]:
        with open(f"/proc/{self.pid}/task/{self.pid}/children") as file:  # noqa: PTH123
            return [int(word) for word in file.read().split()]

    async def end(self, number: signal.Signals) -> tuple[int, bytes]:
        """Send the signal; return the exit status, and what was on standard error."""
        self._process.send_signal(number)
        async with asyncio.timeout(PATIENCE):
            _, errors = await self._process.communicate()
        assert self._process.returncode is not None
        return self._process.returncode, errors

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            *COMMAND,
            *self._arguments,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=environment(),
        )
        assert self._process.stdout
        async with asyncio.timeout(PATIENCE):
            line = (await self._process.stdout.readline()).decode()
        if not line:
            raise AssertionError((await self._process.communicate())[1].decode())
        self.url = line.split()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._process.returncode is None:
            status, errors = await self.end(signal.SIGINT)
            assert (status, errors) == (130, b"")


class Visit:
    """One tab.

    Attributes:
        errors: the uncaught errors of the page's script.
    """

    def __init__(self, page: Page) -> None:
        self.page = page
        self.errors: list[str] = []
        self._readings: list[Request] = []
        page.on("request", self._note)
        page.on("pageerror", lambda error: self.errors.append(str(error)))

    def _note(self, request: Request) -> None:
        if "/read/" in request.url:
            self._readings.append(request)

    async def places(self) -> list[str | None]:
        """The last event id of each request for a stream, in order; None if it had none."""
        return [(await request.all_headers()).get("last-event-id") for request in self._readings]

    async def go(self, url: str) -> None:
        await self.page.goto(url)
        await self.status(1).wait_for()

    def button(self, name: str, reader: int | None = None) -> Locator:
        place = self.page.locator(f"#reader-{reader}" if reader else "body")
        return place.get_by_role("button", name=name, exact=True)

    def status(self, reader: int = 1) -> Locator:
        return self.page.locator(f"#reader-{reader} .status")

    def row(self, number: int) -> Locator:
        """A row of the picture: 0 is the text as written, the readers follow."""
        return self.page.locator("#bars .row").nth(number)

    async def picture(self) -> str:
        """All text of the picture, and whether the page takes itself to be hidden."""
        hidden = await self.page.evaluate("document.hidden")
        return f"{await self.page.locator('#bars').inner_text()}\nhidden: {hidden}"

    async def text(self, reader: int = 1) -> str:
        return await self.page.locator(f"#reader-{reader} .text").text_content() or ""

    async def pace(self, name: str) -> None:
        async with self.page.expect_response("**/pace/*"):
            await self.page.get_by_label("Pace").select_option(name)

    async def sources(self) -> int:
        """How many ``EventSource`` objects the page's script has made."""
        return int(await self.page.evaluate("() => window.sources"))

    async def more(self, reader: int = 1, length: int = 5) -> str:
        """Wait until more text has come; return all of it."""
        before = len(await self.text(reader))
        return await self.reads(before + length, reader)

    async def reads(self, length: int, reader: int = 1) -> str:
        """Wait until the text has at least this length; return all of it."""
        return await until(lambda: self.text(reader), lambda text: len(text) >= length)

    async def says(self, words: str, reader: int = 1) -> None:
        await until(lambda: self.status(reader).inner_text(), lambda status: words in status)

    async def completes(self, *readers: int) -> None:
        """Let the answer come to its end, and compare all that was read with it."""
        await self.pace("fast")
        for reader in readers:
            await self.says("Complete", reader)
            assert await self.text(reader) == TEXT
            await self.says(COMPLETE, reader)


async def until(look: Callable[[], Awaitable[str]], accept: Callable[[str], bool]) -> str:
    """Look until ``accept`` is true for what is seen, and return that."""
    seen = ""
    try:
        async with asyncio.timeout(PATIENCE):
            while not accept(seen := await look()):  # noqa: ASYNC110 - a page sets no event here
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"not as expected in {PATIENCE:g} s: {seen!r}") from None
    return seen


@asynccontextmanager
async def visiting(context: BrowserContext, url: str) -> AsyncIterator[Visit]:
    """Open the page in a tab of its own, at a pace that leaves time to do something."""
    # The demo keeps the pace of the previous visit, at which an answer may be over in a second.
    assert (await context.request.post(urljoin(url, "/pace/slow"))).ok
    page = await context.new_page()
    await page.add_init_script(_COUNT_SOURCES)
    visit = Visit(page)
    await visit.go(url)
    try:
        yield visit
        assert visit.errors == []
    finally:
        await page.close()


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def ended(pids: list[int]) -> None:
    try:
        await eventually(lambda: not any(map(is_running, pids)), f"the end of {pids}")
    finally:
        for pid in filter(is_running, pids):
            os.kill(pid, signal.SIGKILL)
