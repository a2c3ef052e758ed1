"""What the browser gets: the page, the state of the demo, and what the buttons do."""

from __future__ import annotations

import asyncio
from importlib.resources import files
from typing import TYPE_CHECKING, Final

from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from resumable_stream._cli.demo.web.answers import PACES
from resumable_stream._cli.demo.web.balancer import Balancer, ask_all
from resumable_stream._cli.demo.web.guard import Guard
from resumable_stream._text.offsets import OffsetUnit, length

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

    from resumable_stream._cli.demo.web.instances import DemoInstance

_FILES: Final = {
    "/": ("page.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
}
_OFFLINE: Final = 5.0


class Site:
    """The page for a text that the instances stream.

    Attributes:
        app: the ASGI application.
        balancer: knows the instance of each reader.
    """

    def __init__(
        self, instances: Sequence[DemoInstance], *, title: str, text: str, broker: str, host: str
    ) -> None:
        self.balancer = Balancer(instances)
        self._instances = instances
        self._text = text
        self._about = {
            "title": title,
            "broker": broker,
            "total": length(text, OffsetUnit.UTF16),
            "mortal": all(instance.mortal for instance in instances),
        }
        self._pace = "normal"
        routes = [
            *(Route(path, _File(*file)) for path, file in _FILES.items()),
            Route("/about", self._tell),
            Route("/text", self._whole_text),
            Route("/start", self._start, methods=["POST"]),
            Route("/pace/{pace}", self._set_pace, methods=["POST"]),
            Route("/readers/{reader:uuid}/{trouble}", self._trouble, methods=["POST"]),
            Route("/answers/{answer:uuid}/stop", self._stop, methods=["POST"]),
            Route("/answers/{answer:uuid}/kill", self._kill, methods=["POST"]),
            Route("/answers/{answer:uuid}/text", self._stored_text),
            Route("/answers/{answer:uuid}/picture", self._picture),
            Route("/read/{answer:uuid}/{reader:uuid}", self.balancer, methods=["GET"]),
        ]
        self.app = Guard(Starlette(routes=routes), host)

    async def _tell(self, _request: Request) -> Response:
        return JSONResponse(self._about | {"pace": self._pace})

    async def _whole_text(self, _request: Request) -> Response:
        return JSONResponse(self._text)

    async def _stored_text(self, request: Request) -> Response:
        """The answer that an application has stored: all of it, once it is complete."""
        told = await ask_all(self._instances, "GET", _picture_of(request))
        if any(one is not None and one["state"] == "completed" for one in told):
            return JSONResponse(self._text)
        return Response(status_code=404)

    async def _start(self, _request: Request) -> Response:
        """Start the instances that were killed again."""
        await asyncio.gather(*(instance.start() for instance in self._instances))
        await ask_all(self._instances, "POST", f"/pace/{self._pace}")
        return Response(status_code=204)

    async def _set_pace(self, request: Request) -> Response:
        pace = request.path_params["pace"]
        if pace not in PACES:
            return Response(status_code=404)
        self._pace = pace
        await ask_all(self._instances, "POST", f"/pace/{pace}")
        return Response(status_code=204)

    async def _trouble(self, request: Request) -> Response:
        reader = self.balancer.find(str(request.path_params["reader"]))
        if reader is None:
            return Response(status_code=404)
        match request.path_params["trouble"]:
            case "cut":
                self.balancer.cut(reader)
            case "offline":
                self.balancer.cut(reader, _OFFLINE)
            case "switch":
                self.balancer.switch(reader)
            case _:
                return Response(status_code=404)
        return Response(status_code=204)

    async def _stop(self, request: Request) -> Response:
        """Ask the last instance that runs: it is seldom the one that produces."""
        for instance in reversed(self._instances):
            if instance.alive:
                told = await ask_all([instance], "POST", request.url.path)
                return JSONResponse({"instance": instance.name, "told": told[0]})
        return Response(status_code=503)

    async def _kill(self, request: Request) -> Response:
        told = await ask_all(self._instances, "GET", _picture_of(request))
        for instance, seen in zip(self._instances, told, strict=True):
            if instance.mortal and seen is not None and seen["end"] is not None:
                await instance.kill()
                return JSONResponse({"instance": instance.name})
        return JSONResponse({"instance": None})

    async def _picture(self, request: Request) -> Response:
        told = await ask_all(self._instances, "GET", _picture_of(request))
        readers = self.balancer.readers_of(str(request.path_params["answer"]))
        seen = [one for one in told if one is not None]
        for one in seen:
            for name, offset in one["readers"].items():
                if name in readers:
                    readers[name].offset = offset
        return JSONResponse(
            {
                "state": seen[0]["state"] if seen else "unknown",
                "end": next((one["end"] for one in seen if one["end"] is not None), None),
                "instances": [
                    {
                        "name": instance.name,
                        "alive": instance.alive,
                        "produces": one is not None and one["end"] is not None,
                    }
                    for instance, one in zip(self._instances, told, strict=True)
                ],
                "readers": [
                    {
                        "id": name,
                        "instance": self.balancer.at(reader).name,
                        "connected": reader.connections > 0,
                        "offset": reader.offset,
                        "resumed": reader.resumed,
                    }
                    for name, reader in readers.items()
                ],
            }
        )


def _picture_of(request: Request) -> str:
    return f"/answers/{request.path_params['answer']}/picture"


class _File:
    """A file of this package."""

    def __init__(self, name: str, media_type: str) -> None:
        self._content = (files(__package__) / name).read_bytes()
        self._media_type = media_type

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = Response(self._content, media_type=self._media_type)
        await response(scope, receive, send)
