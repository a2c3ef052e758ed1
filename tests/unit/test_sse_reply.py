"""Replies to requests: statuses, headers, and hostile last event ids."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resumable_stream import (
    BackendError,
    BackendFaultError,
    InvalidEventIdError,
    InvalidOffsetError,
    InvalidSettingError,
    InvalidStreamIdError,
    WrongKeyTypeError,
    owned_stream_id,
    sse,
)
from resumable_stream._protocol.places import EventId
from resumable_stream.sse import SseReply, last_event_id, sse_reply
from support.virtual_time import in_virtual_time
from support.world import ID, Source, begin, world

if TYPE_CHECKING:
    from resumable_stream import ResumableStreamContext

# What a client may send as the id of the last event it has seen.
HOSTILE = [
    "0", "-1", "1-", "-", "1--1", "1-1-1", "x-1", "1-x", "01-1", "1-01", " 1-1", "1-1 ", "1-1\n",
    "\u0661-\u0661", "\u00b2-1", "1\0-1", "\0", "\r\n", "id: 1", "END", "end ", "done", "null",
    "9" * 16 + "-0", "1-" + "9" * 16, "9" * 400 + "-1", "a" * 100_000, "\ud800", "1e3-1", "+1-1",
    "../../x", "*", ">", "{}", "<script>", "\N{ROCKET}", "1-0x1", "1_0-1", "0-0", "0-1",
]  # fmt: skip


async def resume(context: ResumableStreamContext, headers: Any = None, query: Any = None) -> Any:
    return await sse_reply(
        headers or {},
        query or {},
        lambda place: context.resume_existing_stream(ID, last_event_id=place),
    )


async def content(reply: SseReply) -> Any:
    text = b"".join([block async for block in reply.body])
    return json.loads(text) if text else None


@in_virtual_time
async def test_unknown_running_and_completed_streams_are_told_apart() -> None:
    async with world() as here:
        other, _ = here.instance()
        unknown = await resume(other)
        assert unknown.status == 404
        assert (await content(unknown))["code"] == "not_found"
        source, stream, _ = await begin(here, "a")
        running = await resume(other)
        assert running.status == 200
        assert running.headers == {
            "Content-Type": "text/event-stream",
            "Cache-Control": "no-cache, no-transform",
            "X-Accel-Buffering": "no",
        }
        await running.body.aclose()
        source.finish()
        assert [chunk async for chunk in stream] == ["a"]
        for context in here.contexts:
            over = await resume(context)
            assert (over.status, await content(over)) == (204, None)
            assert over.headers["Cache-Control"] == "no-store"


@in_virtual_time
async def test_client_that_knows_the_ending_is_told_to_stop() -> None:
    async with world() as here:
        source, _, _ = await begin(here, "a")
        for query in ({"lastEventId": "end"}, {"Last-Event-ID": "end"}):
            assert (await resume(here.contexts[0], query=query)).status == 204
        source.finish(RuntimeError("broken"))
        assert (await resume(here.contexts[0], {"Last-Event-ID": "end"})).status == 204


@in_virtual_time
async def test_taken_id_is_a_conflict() -> None:
    async with world() as here:
        await begin(here, "a")
        context = here.contexts[0]
        reply = await sse_reply({}, {}, lambda _: context.create_new_resumable_stream(ID, Source()))
        told = await content(reply)
        assert (reply.status, told["code"]) == (409, "exists")
        assert ID in told["message"]
        assert "use a fresh one" in told["message"]


async def test_operators_mistake_is_not_the_clients() -> None:
    async def attach(_: str | None) -> None:
        owned_stream_id("ann", "chat", key=b"short")

    with pytest.raises(InvalidSettingError, match="16"):
        await sse_reply({}, {}, attach)


@pytest.mark.parametrize("refusal", [InvalidStreamIdError, InvalidOffsetError])
async def test_clients_mistake_is_a_bad_request(refusal: type[Exception]) -> None:
    async def attach(_: str | None) -> None:
        raise refusal("pass another one")

    reply = await sse_reply({}, {}, attach)
    assert (reply.status, (await content(reply))["message"]) == (400, "pass another one")


@in_virtual_time
async def test_closed_context_is_unavailable() -> None:
    async with world() as here:
        context, _ = here.instance()
        await context.aclose()
        reply = await resume(context)
        assert (reply.status, reply.headers["Retry-After"]) == (503, "1")


@pytest.mark.parametrize("kind", [WrongKeyTypeError, BackendFaultError])
async def test_what_does_not_pass_by_itself_is_no_outage(kind: type[BackendError]) -> None:
    async def attach(_place: str | None) -> None:
        raise kind("the operator's mistake")

    for headers in ({}, {"Last-Event-ID": "1-1"}):
        with pytest.raises(kind):
            await sse_reply(headers, {}, attach)


@pytest.mark.parametrize("value", HOSTILE, ids=lambda value: ascii(value)[:24])
@in_virtual_time
async def test_hostile_event_id_is_a_bad_request(value: str) -> None:
    async with world() as here:
        await begin(here, "a")
        for context in (here.contexts[0], here.instance()[0]):
            reply = await resume(context, {"Last-Event-ID": value})
            assert reply.status == 400
            told = await content(reply)
            assert told["code"] == "invalid"
            assert len(told["message"]) < 300


@in_virtual_time
async def test_event_id_beyond_the_text_is_a_bad_request() -> None:
    async with world() as here:
        _, _, generation = await begin(here, "a")
        for context in (here.contexts[0], here.instance()[0]):
            for sequence in (2, 10**9):
                reply = await resume(context, {"Last-Event-ID": f"{generation}-{sequence}"})
                assert reply.status == 400


@in_virtual_time
async def test_event_id_of_another_run_is_told_as_such() -> None:
    async with world() as here:
        await begin(here, "a")
        for context in (here.contexts[0], here.instance()[0]):
            reply = await resume(context, {"Last-Event-ID": "1-1"})
            text = b"".join([block async for block in reply.body]).decode()
            assert (reply.status, "history_changed" in text) == (200, True)


@given(st.text())
def test_any_text_is_an_event_id_or_refused(value: str) -> None:
    try:
        assert str(EventId.parse(value)) == value
    except InvalidEventIdError as error:
        assert len(str(error)) < 300  # noqa: PT017 - either is right


@pytest.mark.parametrize(
    ("headers", "query", "expected"),
    [
        ({}, {}, None),
        ({"Last-Event-ID": ""}, {"lastEventId": ""}, None),
        ({"Last-Event-ID": "1-2"}, {}, "1-2"),
        ({}, {"lastEventId": "1-2"}, "1-2"),
        ({}, {"Last-Event-ID": "1-2"}, "1-2"),
        # The header wins: the URL is as old as the page, the header as new as the last event.
        ({"Last-Event-ID": "1-9"}, {"lastEventId": "1-2"}, "1-9"),
    ],
)
def test_last_event_id_is_read_back(headers: Any, query: Any, expected: str | None) -> None:
    assert last_event_id(headers, query) == expected


@pytest.mark.parametrize("settings", [{"heartbeat": 0}, {"heartbeat": -1}, {"retry": -1}])
async def test_settings_out_of_range_are_refused(settings: Any) -> None:
    async def attach(_: str | None) -> None:
        raise AssertionError

    with pytest.raises(InvalidSettingError):
        await sse_reply({}, {}, attach, **settings)


def test_public_names_are_sorted_and_there() -> None:
    assert sorted(sse.__all__) == sorted(set(sse.__all__))
    for name in sse.__all__:
        assert getattr(sse, name).__doc__, name
    with pytest.raises(AttributeError, match="nothing"):
        sse.nothing  # noqa: B018


PROGRAM = """
import sys
import resumable_stream, resumable_stream.sse as sse
assert not {"starlette", "anyio", "fastapi"} & set(sys.modules)
sys.modules["starlette"] = None
try:
    sse.sse_response
except ImportError as error:
    print(error)
"""


def test_starlette_is_imported_only_for_its_response() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=50
    )
    assert "pip install 'resumable-stream[sse]'" in done.stdout
