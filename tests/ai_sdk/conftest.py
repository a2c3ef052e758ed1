"""The endpoints of docs/ai.md in two processes, and pages that use them."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from ai_sdk.page import Page
from support.documentation import ROOT, snippets_of
from support.npm import installed
from web.stage import Stage, staged

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    OpenPage = Callable[..., Awaitable[Page]]

_DOCUMENT = "docs/ai.md"
_WAY = "use-chat"


@pytest.fixture(scope="session")
def page_program(request: pytest.FixtureRequest) -> Path:
    """The page beside its installed packages, which are kept from run to run."""
    return installed(Path(__file__).parent / "page.mjs", request)


@pytest_asyncio.fixture
async def stage(tmp_path: Path, redis_url: str) -> AsyncIterator[Stage]:
    """The application that the document shows, on two servers."""
    text = (ROOT / _DOCUMENT).read_text(encoding="utf-8")
    (snippet,) = (one for one in snippets_of(_DOCUMENT, text) if one.way == _WAY)
    program = tmp_path / "shown.py"
    program.write_text(snippet.body, encoding="utf-8")
    async with staged(_WAY, program, redis_url) as stage:
        yield stage


@pytest_asyncio.fixture
async def open_page(page_program: Path) -> AsyncIterator[OpenPage]:
    """Opens tabs, and closes them when the test ends."""
    async with AsyncExitStack() as stack:

        async def opened(server: str, chat: str, messages: list[Any] | None = None) -> Page:
            return await stack.enter_async_context(Page(page_program, server, chat, messages or []))

        yield opened
