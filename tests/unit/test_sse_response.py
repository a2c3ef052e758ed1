"""The response for Starlette and FastAPI leaves the stream, however the response ends."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from starlette.background import BackgroundTask
from starlette.requests import Request

from resumable_stream.sse import TEXT, UI_MESSAGES, sse_response
from support.event_source import events_of
from support.virtual_time import in_virtual_time
from support.world import ID, Source, begin, world

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.responses import Response

    from resumable_stream import ResumableStream, ResumableStreamContext
    from resumable_stream.sse import EventFormat


class Client:
    """Plays the ASGI server's side of one request."""

    def __init__(
        self,
        *,
        method: str = "GET",
        spec: str = "2.3",
        on_body: Callable[[bytes], None] | None = None,
    ) -> None:
        self.gone = asyncio.Event()
        self.status = 0
        self.body: list[bytes] = []
        self.complete = False
        self._on_body = on_body
        self.scope: Any = {
            "type": "http",
            "method": method,
            "headers": [],
            "query_string": b"",
            "asgi": {"spec_version": spec},
        }

    async def receive(self) -> Any:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            return
        if self._on_body is not None:
            self._on_body(message["body"])
        self.body.append(message["body"])
        self.complete = not message["more_body"]

    async def respond(self, context: ResumableStreamContext) -> Response:
        return await sse_response(
            Request(self.scope),
            lambda place: context.resume_existing_stream(ID, last_event_id=place),
        )

    async def ask(self, context: ResumableStreamContext) -> None:
        response = await self.respond(context)
        await response(self.scope, self.receive, self.send)


@pytest.mark.parametrize("spec", ["2.3", "2.4"])
@in_virtual_time
async def test_stream_is_sent_to_its_end(spec: str) -> None:
    async with world() as here:
        source, _, _ = await begin(here, "a")
        context, broker = here.instance()
        client = Client(spec=spec)
        ended = asyncio.Event()

        async def end() -> None:
            ended.set()

        response = await client.respond(context)
        response.background = BackgroundTask(end)
        source.finish()
        await response(client.scope, client.receive, client.send)
        assert (client.status, client.complete, ended.is_set()) == (200, True, True)
        assert [event.event for event in events_of(client.body)] == ["message", "done"]
        assert not broker._subscriptions


@pytest.mark.parametrize("spec", ["2.3", "2.4"])
@in_virtual_time
async def test_client_that_leaves_in_silence_ends_the_response_at_once(spec: str) -> None:
    async with world() as here:
        await begin(here, "a")
        context, broker = here.instance()
        client = Client(spec=spec)
        asking = asyncio.create_task(client.ask(context))
        await asyncio.sleep(1)
        assert broker._subscriptions
        client.gone.set()
        # No heartbeat, which would notice as well, is due within a second.
        await asyncio.wait_for(asking, 1)
        assert not broker._subscriptions
        assert (client.complete, "done" in str(client.body)) == (False, False)


@in_virtual_time
async def test_client_that_leaves_while_it_is_sent_to_ends_the_response() -> None:
    async with world() as here:
        source, _, _ = await begin(here, "a")
        context, broker = here.instance()

        def refuse(block: bytes) -> None:
            if b"data: b" in block:
                raise OSError("the client has gone")

        asking = asyncio.create_task(Client(spec="2.4", on_body=refuse).ask(context))
        await asyncio.sleep(1)
        source.put("b")
        await asyncio.wait_for(asking, 1)
        assert not broker._subscriptions


@in_virtual_time
async def test_servers_own_error_is_raised_as_it_is() -> None:
    async with world() as here:
        await begin(here, "a")
        context, broker = here.instance()

        def break_(_: bytes) -> None:
            raise LookupError("the server is broken")

        with pytest.raises(LookupError, match="broken"):
            await Client(on_body=break_).ask(context)
        assert not broker._subscriptions


@in_virtual_time
async def test_cancelled_response_leaves_the_stream() -> None:
    async with world() as here:
        await begin(here, "a")
        context, broker = here.instance()
        asking = asyncio.create_task(Client().ask(context))
        await asyncio.sleep(1)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert not broker._subscriptions


@pytest.mark.parametrize("chunks", [TEXT, UI_MESSAGES])
@in_virtual_time
async def test_head_gets_the_headers_and_starts_nothing(chunks: EventFormat) -> None:
    async with world() as here:
        context, _ = here.instance()
        called = 0

        async def attach(_: str | None) -> ResumableStream | None:
            nonlocal called
            called += 1
            return await context.resumable_stream(ID, Source("a"))

        answers = []
        for method in ("HEAD", "GET"):
            client = Client(method=method)
            response = await sse_response(Request(client.scope), attach, chunks=chunks)
            assert called == (method == "GET")
            task = asyncio.create_task(response(client.scope, client.receive, client.send))
            await asyncio.sleep(1)
            answers.append((client.status, response.raw_headers))
            if method == "HEAD":
                assert task.done()
                assert (client.complete, b"".join(client.body)) == (True, b"")
            client.gone.set()
            await task
        assert answers[0] == answers[1]


@in_virtual_time
async def test_client_that_leaves_while_its_server_holds_a_block_ends_the_response() -> None:
    class Stalled(Client):
        async def send(self, message: Any) -> None:
            await super().send(message)
            if b"data: a" in message.get("body", b""):
                await asyncio.sleep(3600)

    async with world() as here:
        await begin(here, "a")
        context, broker = here.instance()
        client = Stalled()
        asking = asyncio.create_task(client.ask(context))
        await asyncio.sleep(1)
        client.gone.set()
        await asyncio.wait_for(asking, 1)
        assert not broker._subscriptions


@in_virtual_time
async def test_error_of_receiving_is_raised_as_it_is() -> None:
    class Broken(Client):
        async def receive(self) -> Any:
            await self.gone.wait()
            raise LookupError("the server is broken")

    async with world() as here:
        await begin(here, "a")
        context, broker = here.instance()
        client = Broken()
        asking = asyncio.create_task(client.ask(context))
        await asyncio.sleep(1)
        client.gone.set()
        with pytest.raises(LookupError, match="broken"):
            await asyncio.wait_for(asking, 1)
        assert not broker._subscriptions


@in_virtual_time
async def test_response_ends_after_all_it_has_begun() -> None:
    class Slow(Client):
        async def receive(self) -> Any:
            try:
                return await super().receive()
            finally:
                await asyncio.sleep(1)

    async with world() as here:
        source, _, _ = await begin(here, "a")
        before = asyncio.all_tasks()
        source.finish()
        await Slow().ask(here.contexts[0])
        assert asyncio.all_tasks() <= before


@in_virtual_time
async def test_client_that_leaves_at_the_end_has_all() -> None:
    async with world() as here:
        source, _, _ = await begin(here, "a")

        def leave(block: bytes) -> None:
            if not block:
                client.gone.set()

        client = Client(on_body=leave)
        source.finish()
        await client.ask(here.contexts[0])
        assert client.complete
        assert asyncio.current_task().cancelling() == 0  # type: ignore[union-attr]  # a test is a task
