"""The demo's page in a real browser: the final text of each reader is compared exactly."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING
from urllib.parse import urljoin

import pytest

from web_demo.demo import COMPLETE, LOST, TEXT, ended, until, visiting

if TYPE_CHECKING:
    from playwright.async_api import Browser, BrowserContext, Route

    from web_demo.demo import Demo, Visit

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_cut_reader_resumes_by_event_source_alone(visit: Visit) -> None:
    await visit.reads(20)
    for words in ("resumed once", "resumed twice"):
        await visit.button("Cut the connection").click()
        await visit.says(LOST)
        await visit.says(words)
        await visit.more()
    await visit.completes(1)
    assert await visit.sources() == 1
    first, second, third = await visit.places()
    assert first is None
    assert second
    assert third not in (None, second)


@pytest.mark.parametrize("demo", ["redis"], indirect=True)
async def test_switched_reader_continues_on_another_instance(visit: Visit) -> None:
    await visit.reads(20)
    await until(visit.row(1).inner_text, lambda text: "through A" in text)
    await visit.button("Switch instance").click()
    await visit.says("resumed once")
    await until(
        visit.row(1).inner_text, lambda text: "through B" in text and "resumed once" in text
    )
    assert "by instance A" in await visit.row(0).inner_text()
    await visit.more()
    await visit.button("Cut the connection").click()
    await visit.says("resumed twice")
    await until(
        visit.row(1).inner_text, lambda text: "through B" in text and "resumed twice" in text
    )
    await visit.completes(1)
    assert await visit.sources() == 1


@pytest.mark.parametrize("demo", ["memory"], indirect=True)
async def test_second_reader_reads_the_same(visit: Visit) -> None:
    await visit.reads(20)
    await visit.button("Open a second reader").click()
    await visit.more(2)
    await visit.button("Cut the connection", 2).click()
    await visit.says(LOST, 2)
    await visit.says("resumed once", 2)
    await visit.completes(1, 2)
    assert "resumed" not in await visit.row(1).inner_text()


async def test_second_tab_reads_the_same(visit: Visit, tabs: BrowserContext) -> None:
    await visit.reads(20)
    async with tabs.expect_page() as opened:
        await visit.page.get_by_role("link", name="Read it in another tab").click()
    tab = await opened.value
    async with visiting(tabs, tab.url) as other:
        await until(visit.picture, lambda rows: "Other tab" in rows)
        await other.more()
        await other.button("Cut the connection").click()
        await other.says("resumed once")
        await other.completes(1)
        await visit.completes(1)


@pytest.mark.parametrize("demo", ["memory"], indirect=True)
async def test_picture_gives_up_a_request_that_hangs(visit: Visit) -> None:
    await visit.reads(20)
    held: list[Route] = []

    async def hold_the_first(route: Route) -> None:
        if held:
            await route.continue_()
        held.append(route)

    await visit.page.route("**/picture", hold_the_first)
    await until(visit.picture, lambda _: len(held) == 1)
    before = await visit.picture()
    await until(visit.picture, lambda rows: rows != before)
    assert len(held) > 1


@pytest.mark.parametrize("demo", ["memory"], indirect=True)
async def test_reload_finds_the_answer(visit: Visit) -> None:
    before = await visit.reads(40)
    await visit.page.reload()
    assert (await visit.reads(len(before))).startswith(before)
    await visit.completes(1)
    await visit.page.reload()
    await visit.says(COMPLETE)
    assert await visit.text() == TEXT


@pytest.mark.parametrize("demo", ["memory"], indirect=True)
async def test_answer_that_is_no_longer_kept_is_loaded_from_the_store(visit: Visit) -> None:
    await visit.reads(20)
    await visit.completes(1)
    # So the stream's endpoint answers once the text has expired.
    await visit.page.route("**/read/**", lambda route: route.fulfill(status=204))
    await visit.page.reload()
    await visit.says("loaded from the store")
    assert await visit.text() == TEXT


@pytest.mark.rule("P1", "P12")
@pytest.mark.parametrize("demo", ["redis"], indirect=True)
async def test_reload_finds_a_finished_answer_after_all_instances_were_killed(
    visit: Visit, demo: Demo
) -> None:
    await visit.reads(20)
    await visit.completes(1)
    killed = demo.children()
    for process in killed:
        os.kill(process, signal.SIGKILL)
    await ended(killed)
    # The button for a new answer starts them again.
    assert (await visit.page.request.post(urljoin(demo.url, "/start"))).ok
    assert not set(killed) & set(demo.children())
    await visit.page.reload()
    await visit.says(COMPLETE)
    assert await visit.text() == TEXT


@pytest.mark.parametrize("demo", ["redis"], indirect=True)
async def test_stop_reaches_every_reader(visit: Visit, tabs: BrowserContext) -> None:
    await visit.button("Open a second reader").click()
    await visit.reads(20, 2)
    async with visiting(tabs, visit.page.url) as other:
        await other.reads(20)
        await visit.button("Stop the answer").click()
        told = visit.page.locator("#told")
        await until(told.inner_text, lambda text: "asked to stop it: cancelled" in text)
        for tab, reader in ((visit, 1), (visit, 2), (other, 1)):
            await tab.says("Stopped. You see", reader)
            await tab.says("not the whole answer", reader)
            assert is_beginning(await tab.text(reader))
    await until(visit.row(0).inner_text, lambda text: "stopped" in text)
    assert await visit.button("Stop the answer").is_disabled()


@pytest.mark.parametrize("demo", ["memory"], indirect=True)
async def test_reader_without_network_catches_up(visit: Visit) -> None:
    await visit.reads(20)
    await visit.button("Offline for 5 s").click()
    await visit.says(LOST)
    behind = await visit.text()
    produced = visit.row(0).locator(".number").inner_text
    await until(produced, lambda end: int(end.replace(",", "")) > len(behind))
    assert await visit.text() == behind
    await visit.says("resumed once")
    await visit.completes(1)
    assert await visit.sources() == 1


@pytest.mark.parametrize("demo", ["redis"], indirect=True)
async def test_no_killed_producer_looks_complete(visit: Visit) -> None:
    await visit.reads(20)
    await visit.button("Open a second reader").click()
    await visit.reads(20, 2)
    await visit.button("Kill the producer").click()
    told = visit.page.locator("#told")
    await until(told.inner_text, lambda text: text == "The process of instance A was killed.")
    for reader in (1, 2):
        await visit.says("The producer is lost. You see", reader)
        await visit.says("not the whole answer", reader)
        assert is_beginning(await visit.text(reader))
    await visit.button("New answer").click()
    await visit.reads(1)
    await visit.completes(1)


@pytest.mark.parametrize("demo", ["memory"], indirect=True)
async def test_nothing_can_be_killed_in_memory(visit: Visit) -> None:
    assert not await visit.button("Kill the producer").is_visible()
    assert await visit.page.get_by_text("you can kill the one that produces").is_visible()


async def test_phone_shows_all_in_its_width(browser: Browser, memory_demo: Demo) -> None:
    grounds = set()
    for scheme in ("light", "dark"):
        context = await browser.new_context(
            viewport={"width": 320, "height": 640},
            color_scheme=scheme,
        )
        async with visiting(context, memory_demo.url) as visit:
            await visit.button("Open a second reader").click()
            await until(visit.row(2).inner_text, lambda text: "Reader 2" in text)
            widths = "() => [document.documentElement.scrollWidth, innerWidth]"
            assert await visit.page.evaluate(widths) == [320, 320]
            grounds.add(
                await visit.page.evaluate("() => getComputedStyle(document.body).backgroundColor")
            )
        await context.close()
    assert len(grounds) == 2


def is_beginning(text: str) -> bool:
    return 0 < len(text) < len(TEXT) and TEXT.startswith(text)
