from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from web_demo.browser import chromium
from web_demo.demo import Demo, Visit, visiting

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import Browser, BrowserContext


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser(request: pytest.FixtureRequest) -> AsyncIterator[Browser]:
    async with chromium(request) as browser:
        yield browser


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def memory_demo() -> AsyncIterator[Demo]:
    async with Demo("memory://demo") as demo:
        yield demo


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def redis_demo(redis_url: str) -> AsyncIterator[Demo]:
    """Three instances in processes of their own."""
    async with Demo(redis_url) as demo:
        yield demo


@pytest.fixture(params=["memory", "redis"])
def demo(request: pytest.FixtureRequest) -> Demo:
    demo: Demo = request.getfixturevalue(f"{request.param}_demo")
    return demo


@pytest_asyncio.fixture(loop_scope="session")
async def tabs(browser: Browser) -> AsyncIterator[BrowserContext]:
    """A browser context of the test's own, which shares nothing with those of other tests."""
    context = await browser.new_context()
    yield context
    await context.close()


@pytest_asyncio.fixture(loop_scope="session")
async def visit(tabs: BrowserContext, demo: Demo) -> AsyncIterator[Visit]:
    """The page, in the middle of a slow answer."""
    async with visiting(tabs, demo.url) as visit:
        yield visit
