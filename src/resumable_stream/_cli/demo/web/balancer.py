"""The load balancer: sends each reader to an instance, and cuts connections on command."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from starlette.requests import Request
from starlette.responses import Response

from resumable_stream._cli.demo.web.instances import InstanceGoneError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.types import Message, Receive, Scope, Send

    from resumable_stream._cli.demo.web.instances import DemoInstance

# How many readers are remembered; the oldest without a connection are forgotten first.
_MOST_READERS: Final = 200


@dataclass(eq=False)
class Reader:
    """One ``EventSource`` on some page.

    Attributes:
        answer: what it reads.
        place: the index of the instance it is sent to.
        connections: how many it has now: 0 or 1, or briefly 2.
        resumed: how often it came back with the id of an event.
        offset: how far its instance has read for it.
        back_at: when its network works again, on the event loop's clock.
        cut: set to cut the present connection.
    """

    answer: str
    place: int
    connections: int = 0
    resumed: int = 0
    offset: int = 0
    back_at: float = 0.0
    cut: asyncio.Event = field(default_factory=asyncio.Event)


class Balancer:
    """The ASGI application that answers readers, ``/read/{answer}/{reader}``."""

    def __init__(self, instances: Sequence[DemoInstance]) -> None:
        self.instances = instances
        self._readers: OrderedDict[str, Reader] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        reader = self._admit(request)
        begun = False

        async def watched_send(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        reader.cut.set()  # A reader has one connection: cut the previous one.
        reader.cut = cut = asyncio.Event()
        reader.connections += 1
        reader.resumed += "Last-Event-ID" in request.headers
        serving = asyncio.create_task(self._serve(reader, request, receive, watched_send))
        cutting = asyncio.create_task(cut.wait())
        try:
            await asyncio.wait({serving, cutting}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            reader.connections -= 1
            serving.cancel()
            cutting.cancel()
            outcomes = await asyncio.gather(serving, cutting, return_exceptions=True)
        match outcomes[0]:
            case InstanceGoneError() | asyncio.CancelledError() | None:
                pass
            case failure:
                raise failure
        if not begun:
            # EventSource comes back after an empty answer, but not after an error.
            await Response(media_type="text/event-stream")(scope, receive, send)
        # Otherwise the server sees a response without its end, and drops the connection.

    def find(self, name: str) -> Reader | None:
        return self._readers.get(name)

    def cut(self, reader: Reader, seconds: float = 0.0) -> None:
        """Cut the reader's connection, and hold the next one for that time."""
        reader.back_at = asyncio.get_running_loop().time() + seconds
        reader.cut.set()

    def cut_all(self) -> None:
        for reader in self._readers.values():
            reader.cut.set()

    def switch(self, reader: Reader) -> None:
        """Send the reader to another instance from now on."""
        reader.place = self._living(reader.place + 1)
        reader.cut.set()

    def readers_of(self, answer: str) -> dict[str, Reader]:
        return {name: one for name, one in self._readers.items() if one.answer == answer}

    def at(self, reader: Reader) -> DemoInstance:
        return self.instances[reader.place]

    async def _serve(self, reader: Reader, request: Request, receive: Receive, send: Send) -> None:
        await asyncio.sleep(reader.back_at - asyncio.get_running_loop().time())
        reader.place = self._living(reader.place)
        await self.at(reader).serve(request, receive, send)

    def _admit(self, request: Request) -> Reader:
        answer, name = (str(request.path_params[name]) for name in ("answer", "reader"))
        reader = self._readers.get(name)
        if reader is None or reader.answer != answer:
            others = len(self.readers_of(answer))
            reader = Reader(answer, self._living(others))
        self._readers[name] = reader
        self._readers.move_to_end(name)
        away = [name for name, one in self._readers.items() if not one.connections]
        for oldest in away[: max(0, len(self._readers) - _MOST_READERS)]:
            del self._readers[oldest]
        return reader

    def _living(self, wanted: int) -> int:
        count = len(self.instances)
        places = [(wanted + step) % count for step in range(count)]
        return next((place for place in places if self.instances[place].alive), places[0])


async def ask_all(instances: Sequence[DemoInstance], method: str, path: str) -> list[Any]:
    """Ask every instance at once; the answer of an instance that is gone is None."""

    async def ask(instance: DemoInstance) -> Any:
        try:
            return await instance.ask(method, path)
        except InstanceGoneError:
            return None

    return await asyncio.gather(*map(ask, instances))
