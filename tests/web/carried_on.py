"""Drives the recipes by which an answer outlives the process that produces it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from support.event_source import Event
from support.servers import eventually
from web.client import Answer, Follower, ask, get, texts_of
from web.fake_model import ADMIT_ERROR, BREAK_OFF, END_EARLY, FREE, STAY_SILENT, WORDS
from web.fake_responses import ANNOUNCED, BEGUN

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from web.stage import Stage

# The producer is killed when its answer has come to so many words.
CURSOR_PLACES = (ANNOUNCED,)
# The words before end with white space.
PREFIX_PLACES = (FREE + 1,)
# All kills of an answer, each of which costs a lease and a server's start.
PATIENCE = 150.0

# Tells whether events are exactly those of an answer that has come to so many words.
Shows = Callable[[Sequence[Event], int], bool]


class Pages:
    """Two pages that read one answer, as ``EventSource`` does, one of them beside its producer."""

    def __init__(self, stage: Stage, path: str) -> None:
        self._stage = stage
        self._urls = stage.here + path, stage.there + path
        self.followers: list[Follower] = []
        self._following: list[asyncio.Task[None]] = []

    async def open(self) -> None:
        """Open the first page, at the server that comes to produce, and then the second."""
        calls = len(self._stage.model.calls)
        self._follow(*self._urls)
        await eventually(lambda: len(self._stage.model.calls) > calls, "the model to be called")
        self._follow(*reversed(self._urls))
        await eventually(lambda: self.followers[1].connections == 1, "the second page")

    async def come_to(self, words: int, shows: Shows) -> None:
        self._stage.model.allow(words)
        await eventually(
            lambda: all(shows(one.events, words) for one in self.followers), f"{words} words"
        )

    async def come_beyond(self, words: int, shows: Shows) -> None:
        self._stage.model.let_go()
        await eventually(
            lambda: not all(shows(one.events, words) for one in self.followers),
            f"more than {words} words",
        )

    async def finish(self) -> list[list[Event]]:
        """Let the model come to its end; return what both pages have got."""
        self._stage.model.let_go()
        await asyncio.gather(*self._following)
        return [one.events for one in self.followers]

    def _follow(self, *urls: str) -> None:
        self.followers.append(follower := Follower(*urls))
        self._following.append(asyncio.create_task(follower.follow(PATIENCE)))


async def carry_through(
    stage: Stage, path: str, places: Sequence[int], shows: Shows
) -> list[list[Event]]:
    """Kill the producer in each of these places, by turns at either server."""
    stage.model.allow(places[0])
    pages = Pages(stage, path)
    await pages.open()
    producing, other = stage.servers
    for number, words in enumerate(places):
        await pages.come_to(words, shows)
        calls = len(stage.model.calls)
        await producing.kill()
        await eventually(lambda: len(stage.model.calls) > calls, "the model to be called again")  # noqa: B023 - called here
        # The second page reads where the first producer is not.
        assert number > 0 or pages.followers[1].connections == 1
        await producing.restart()
        producing, other = other, producing
    # In full flow, words are under way from the model, to the journal and to the pages.
    await pages.come_beyond(places[-1], shows)
    await producing.kill()
    found = await pages.finish()
    await producing.restart()
    for events in found:
        assert shows(events[:-1], len(WORDS))
        assert (events[-1].event, events[-1].id) == ("done", "end")
        assert len({event.id for event in events}) == len(events)
    return found


async def drive_cursor(stage: Stage) -> None:
    """The model answers once, and who goes on reads from the last chunk's cursor."""
    path = f"/answers/{stage.name}"
    await carry_through(stage, path, CURSOR_PLACES, shows_deltas)
    (answer,) = stage.model.answers
    assert len(answer.reads) > len(CURSOR_PLACES)

    # Whoever is killed before the first event has left no cursor: the answer is asked for again.
    for events in await carry_through(stage, f"{path}-begun", [BEGUN], shows_deltas):
        assert {event.json["response"] for event in events[:-1]} == {"resp_2"}
    assert len(stage.model.answers) == 3
    await end_otherwise(stage)
    await hand_over(stage, f"{path}-handed-over")


async def end_otherwise(stage: Stage) -> None:
    """A connection to the model may break; an answer may fail, or be stopped."""
    stage.let_go()
    for question in (END_EARLY, BREAK_OFF):
        async with asked(stage.here, stage, question) as reading:
            events = await reading.events()
        assert shows_deltas(events[:-1], len(WORDS))
        assert events[-1].event == "done"
        # The last word that came before is the cursor.
        assert stage.model.answers[-1].reads == [None, 3 + FREE]
    for question, reads in ((ADMIT_ERROR, [None]), (STAY_SILENT, [None] + [0] * 9)):
        async with asked(stage.there, stage, question) as reading:
            last = (await reading.events())[-1]
        assert (last.event, last.json["code"]) == ("stream-error", "failed"), question
        assert stage.model.answers[-1].reads == reads
    stage.leash()
    async with asked(stage.here, stage, "stop") as reading:
        await reading.events(1 + FREE)
        stopped = await ask(f"{stage.there}/answers/{stage.name} stop/stop", "POST")
        assert stopped == {"result": "cancelled"}
        assert (await reading.events())[-1].json["code"] == "cancelled"
    assert [answer.question for answer in stage.model.answers if answer.cancelled] == ["stop"]


def asked(server: str, stage: Stage, question: str) -> AbstractAsyncContextManager[Answer]:
    return get(f"{server}/answers/{stage.name} {question}", question=question)


async def hand_over(stage: Stage, path: str) -> None:
    """A server that is replaced leaves the answer to the other one, and to the model."""
    pages = Pages(stage, path)
    await pages.open()
    await pages.come_to(FREE, shows_deltas)
    stage.servers[0].terminate()
    await stage.servers[0].wait()
    for events in await pages.finish():
        assert shows_deltas(events[:-1], len(WORDS))
        assert events[-1].event == "done"
    answer = stage.model.answers[-1]
    assert (answer.reads, answer.cancelled) == ([None, 3 + FREE], False)


def shows_deltas(events: Sequence[Event], words: int) -> bool:
    expected = [] if words == BEGUN else ["", *WORDS[:words]]
    return [event.json.get("text") for event in events] == expected


async def drive_prefix(stage: Stage) -> None:
    """Each attempt is given the text before it, and the text has no seam."""
    path = f"/answers/{stage.name}"
    await carry_through(stage, path, PREFIX_PLACES, shows_text)
    first, *prefixes = [call.prefix for call in stage.model.calls]
    assert first == ""
    expected = ["".join(WORDS[:words]).strip() for words in PREFIX_PLACES]
    assert prefixes[: len(PREFIX_PLACES)] == expected


def shows_text(events: Sequence[Event], words: int) -> bool:
    return "".join(texts_of(events)) == "".join(WORDS[:words])


async def drive_start_over(stage: Stage) -> None:
    """Whoever loses the producer takes the id of another answer, and all take the same."""
    lost = await begun(stage.here, stage)
    assert await begun(stage.there, stage) == lost
    async with get(f"{stage.here}/answers/{lost}") as first:
        read = await first.events(3)
        async with get(f"{stage.there}/answers/{lost}") as other:
            assert await other.events(3) == read
            await stage.servers[0].kill()
            (told,) = await other.events()
            assert (told.event, told.json["code"]) == ("stream-error", "producer_lost")
    async with get(f"{stage.there}/answers/{lost}", read[-1].id) as back:
        assert await back.events() == [told]
    both = await asyncio.gather(*(begun(stage.there, stage, lost) for _ in range(2)))
    assert both[0] == both[1] != lost
    stage.let_go()
    for _ in range(2):
        await check_answer(stage, both[0])
        # So do those who come when that one is over, and they do not begin it again.
        assert await begun(stage.there, stage, lost) == both[0]
    async with get(f"{stage.there}/answers/{lost}") as late:
        assert await late.events() == [*read, told]

    # Nobody has seen anything of an answer whose producer dies before the first word.
    stage.hold()
    await stage.servers[0].restart()
    silent = await begun(stage.here, stage)
    async with get(f"{stage.here}/answers/{silent}"):
        await stage.servers[0].kill()
    stage.let_go()
    await check_answer(stage, silent)
    await stage.servers[0].restart()


async def begun(server: str, stage: Stage, instead_of: str = "") -> str:
    url = f"{server}/chats/{stage.name}/answers"
    answer = await ask(url, "POST", instead_of=instead_of)
    return str(answer["id"])


async def check_answer(stage: Stage, stream_id: str) -> None:
    async with get(f"{stage.there}/answers/{stream_id}") as reading:
        *events, last = await reading.events()
    assert "".join(event.data for event in events) == "One two three four five "
    assert last.event == "done"
