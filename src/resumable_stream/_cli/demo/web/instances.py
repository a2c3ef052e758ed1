"""The instances behind the load balancer: in this process, or each in a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from typing import TYPE_CHECKING, Any, Final, Protocol

import httpx
from starlette.responses import StreamingResponse

from resumable_stream import create_resumable_stream_context
from resumable_stream._cli.demo.web.answers import OPTIONS, Answers

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import Receive, Send

_START_TIMEOUT: Final = 20.0
_END_TIMEOUT: Final = 5.0
# Longer than anybody ever waits for a producer that does not answer.
_ASK_TIMEOUT: Final = 30.0
_NO_TIMEOUT: Final = httpx.Timeout(None, connect=_ASK_TIMEOUT)
_PASSED_ON: Final = ("Accept", "Last-Event-ID")
# Headers that concern one connection only.
_HOPPING: Final = ("connection", "date", "transfer-encoding")


class InstanceGoneError(Exception):
    """The instance cannot be reached, or has ended."""


class DemoInstance(Protocol):
    """One instance of the service.

    Attributes:
        name: what the page calls it.
        mortal: whether it can be killed.
        alive: whether it runs.
    """

    @property
    def name(self) -> str: ...

    @property
    def mortal(self) -> bool: ...

    @property
    def alive(self) -> bool: ...

    async def start(self) -> None:
        """Start it, unless it runs."""

    async def serve(self, request: Request, receive: Receive, send: Send) -> None:
        """Answer a reader.

        Raises:
            InstanceGoneError: before the response began, or in the middle of it.
        """

    async def ask(self, method: str, path: str) -> Any:
        """Make a small request.

        Raises:
            InstanceGoneError: there is no answer.
        """

    async def kill(self) -> None:
        """End it without warning, if it is mortal."""

    async def aclose(self) -> None: ...


class SharedProcess:
    """A context of its own, in this process."""

    mortal = False
    alive = True

    def __init__(self, name: str, url: str, text: str) -> None:
        self.name = name
        self._context = create_resumable_stream_context(url, options=OPTIONS)
        self._app = Answers(self._context, text).app
        self._client = httpx.AsyncClient(
            transport=httpx.ASGITransport(self._app), base_url="http://127.0.0.1"
        )

    async def start(self) -> None:
        pass

    async def serve(self, request: Request, receive: Receive, send: Send) -> None:
        await self._app(request.scope, receive, send)

    async def ask(self, method: str, path: str) -> Any:
        return _content(await self._client.request(method, path))

    async def kill(self) -> None:
        pass

    async def aclose(self) -> None:
        await self._client.aclose()
        await self._context.aclose()


class OwnProcess:
    """A server in a process of its own, to which requests are passed on."""

    mortal = True

    def __init__(self, name: str, url: str, text: str) -> None:
        self.name = name
        self._settings = {"url": url, "text": text}
        self._process: asyncio.subprocess.Process | None = None
        self._client: httpx.AsyncClient | None = None

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def start(self) -> None:
        if self.alive:
            return
        await self.aclose()
        self._process = process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "resumable_stream._cli.demo.web"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            # Ctrl-C in the terminal is for the demo, which ends its instances itself.
            start_new_session=True,
        )
        assert process.stdin is not None  # noqa: S101 - a pipe, as requested above
        assert process.stdout is not None  # noqa: S101
        process.stdin.write(json.dumps(self._settings).encode() + b"\n")
        async with asyncio.timeout(_START_TIMEOUT):
            port = (await process.stdout.readline()).decode().strip()
        if not port:
            raise ChildProcessError(f"instance {self.name} of the demo did not start")
        # No proxy from the environment: the instance is on this machine.
        self._client = httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=_ASK_TIMEOUT
        )

    async def serve(self, request: Request, receive: Receive, send: Send) -> None:
        client = self._reachable()
        outgoing = client.build_request(
            request.method,
            request.url.path,
            headers={name: request.headers[name] for name in _PASSED_ON if name in request.headers},
            timeout=_NO_TIMEOUT,
        )
        try:
            incoming = await client.send(outgoing, stream=True)
            try:
                headers = {
                    name: value for name, value in incoming.headers.items() if name not in _HOPPING
                }
                response = StreamingResponse(incoming.aiter_raw(), incoming.status_code, headers)
                await response(request.scope, receive, send)
            finally:
                await incoming.aclose()
        except httpx.TransportError as error:
            raise InstanceGoneError(self.name) from error

    async def ask(self, method: str, path: str) -> Any:
        try:
            return _content(await self._reachable().request(method, path))
        except httpx.TransportError as error:
            raise InstanceGoneError(self.name) from error

    async def kill(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    async def aclose(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()
        if self._process is None or self._process.stdin is None:
            return
        self._process.stdin.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_END_TIMEOUT):
                await self._process.wait()
        await self.kill()

    def _reachable(self) -> httpx.AsyncClient:
        if self._client is None or not self.alive:
            raise InstanceGoneError(self.name)
        return self._client


def _content(response: httpx.Response) -> Any:
    return response.json() if response.content else None
