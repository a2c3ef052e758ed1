"""``useChat({ resume: true })`` of the npm package ``@ai-sdk/react``, with documented endpoints."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from support.fault_proxy import FaultProxy

if TYPE_CHECKING:
    from ai_sdk.conftest import OpenPage
    from ai_sdk.page import Page
    from web.stage import Stage

WHOLE = "One two three four five "
# The text that the source yields before it waits.
BEGUN = "One two three four "


async def asked(page: Page) -> None:
    """Check that the page finds no running answer, send a message, and wait for the text."""
    await page.until_answered("GET", 204)
    assert page.statuses == ["ready"]
    await page.tell("send", text="Count!")
    await page.until(lambda shown: shown.text == BEGUN)


async def test_every_turn_is_an_answer_of_its_own(stage: Stage, open_page: OpenPage) -> None:
    page = await open_page(stage.here, stage.name)
    await asked(page)
    stage.let_go()
    shown = await page.until_ended()
    assert (shown.status, shown.text, shown.states) == ("ready", WHOLE, ["done"])
    assert page.statuses == ["ready", "submitted", "streaming", "ready"]
    (end,) = shown.ends
    assert end.pop("finishReason") == "stop"
    assert end == {"isAbort": False, "isDisconnect": False, "isError": False}

    stage.leash()
    await page.tell("send", text="Again!")
    await page.until(lambda shown: len(shown.messages) == 4)
    other = await open_page(stage.there, stage.name, page.shown.messages[:3])
    await other.until_answered("GET", 200)
    stage.let_go()
    for one, count in ((page, 2), (other, 1)):
        shown = await one.until_ended(count)
        assert (shown.status, shown.text, len(shown.messages)) == ("ready", WHOLE, 4)
        assert len({message["id"] for message in shown.messages}) == 4
    await page.tell("regenerate")
    shown = await page.until_ended(3)
    assert (shown.status, shown.text, len(shown.messages)) == ("ready", WHOLE, 4)


async def test_page_opened_again_shows_the_whole_answer(stage: Stage, open_page: OpenPage) -> None:
    closed = await open_page(stage.here, stage.name)
    await asked(closed)
    question, begun = closed.shown.messages
    await closed.close()

    again = await open_page(stage.there, stage.name, [question])
    await again.until(lambda shown: shown.text == BEGUN)
    # This page has also stored the part of the answer that it had received.
    with_half = await open_page(stage.there, stage.name, [question, begun])
    await with_half.until_answered("GET", 200)
    stage.let_go()
    for page in (again, with_half):
        shown = await page.until_ended()
        assert (shown.status, shown.text, shown.states) == ("ready", WHOLE, ["done"])
        assert [message["id"] for message in shown.messages] == [question["id"], begun["id"]]

    late = await open_page(stage.here, stage.name, again.shown.messages)
    await late.until_answered("GET", 204)
    assert (await late.until_status("ready")).text == WHOLE
    assert late.statuses == ["ready"]


async def test_lost_connection_is_made_good(stage: Stage, open_page: OpenPage) -> None:
    here, there = stage.servers
    async with FaultProxy(here.port) as proxy:
        url = f"http://127.0.0.1:{proxy.port}"
        page = await open_page(url, stage.name)
        await asked(page)
        other = await open_page(url, stage.name, page.shown.messages[:1])
        await other.until(lambda shown: shown.text == BEGUN)
        proxy.aim_at(there.port)
        proxy.cut()
        shown = await page.until_ended()
        assert shown.ends[0]["isDisconnect"]
        # An answer that was cut off does not look finished.
        assert (shown.status, shown.text, shown.states) == ("error", BEGUN, ["streaming"])
        await page.tell("resume")
        await page.until(lambda shown: shown.text == BEGUN and shown.status == "streaming")
        # The hook's own stop does not end the answer on the server.
        await page.tell("leave")
        shown = await page.until_ended(2)
        assert (shown.status, shown.text) == ("ready", BEGUN)
        await page.tell("resume")
        await page.until_status("streaming")
        stage.let_go()
        shown = await page.until_ended(3)
        assert (shown.status, shown.text, shown.states) == ("ready", WHOLE, ["done"])
        assert len(shown.messages) == 2

        # This page resumes too late to get the rest, and shows that the text is unfinished.
        await other.until_status("error")
        await other.tell("resume")
        await other.until_answered("GET", 204)
        shown = await other.until_status("ready")
        assert (shown.text, shown.states) == (BEGUN, ["streaming"])


async def test_stop_ends_the_answer_everywhere(stage: Stage, open_page: OpenPage) -> None:
    page = await open_page(stage.here, stage.name)
    await asked(page)
    other = await open_page(stage.there, stage.name, page.shown.messages[:1])
    await other.until(lambda shown: shown.text == BEGUN)
    await other.tell("stop")
    for one in (page, other):
        shown = await one.until_ended()
        assert (shown.status, shown.error) == ("ready", None)
        assert (shown.text, shown.states) == (BEGUN, ["streaming"])
        assert "finishReason" not in shown.ends[0]
    again = await open_page(stage.here, stage.name, page.shown.messages[:1])
    await again.until_answered("GET", 204)


async def test_failure_is_an_error_on_every_page(stage: Stage, open_page: OpenPage) -> None:
    page = await open_page(stage.here, stage.name)
    await asked(page)
    question = page.shown.messages[:1]
    other = await open_page(stage.there, stage.name, question)
    await other.until(lambda shown: shown.text == BEGUN)
    stage.let_fail()
    for one in (page, other):
        shown = await one.until_ended()
        assert (shown.status, shown.error) == ("error", "the source of this stream failed")
        assert (shown.text, shown.states) == (BEGUN, ["streaming"])
    late = await open_page(stage.there, stage.name, question)
    assert (await late.until_status("error")).error == "the source of this stream failed"
    # The next message gets a complete answer.
    stage.let_go()
    await late.tell("send", text="Please!")
    await late.until(lambda shown: (shown.status, shown.text) == ("ready", WHOLE))


@pytest.mark.long
async def test_lost_producer_is_an_error(stage: Stage, open_page: OpenPage) -> None:
    here, _ = stage.servers
    page = await open_page(stage.here, stage.name)
    await asked(page)
    other = await open_page(stage.there, stage.name, page.shown.messages[:1])
    await other.until(lambda shown: shown.text == BEGUN)
    await here.kill()
    await asyncio.gather(page.until_status("error"), other.until_status("error"))
    assert other.shown.error == "the producer of this stream is gone"
    assert (other.shown.text, other.shown.states) == (BEGUN, ["streaming"])
