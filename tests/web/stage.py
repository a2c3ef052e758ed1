"""Two processes that serve a document's application, with a source that the test controls."""

from __future__ import annotations

import asyncio
import uuid
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from web.fake_model import FakeModel
from web.server import WebServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

SERVERS = {"aiohttp": ("aiohttp", "web.documented:make_app")}
KEY = "an example's key, of 16 bytes or more"


class Stage:
    """Two servers of the application shown; in memory, both are the same process.

    Attributes:
        redis_url: the broker of both servers.
        model: answers the applications that call OpenAI.
        environment: of the servers.
    """

    def __init__(
        self,
        servers: list[WebServer],
        environment: dict[str, str],
        gate: Path,
        kind: str,
        model: FakeModel,
    ) -> None:
        self.environment = environment
        self.redis_url = environment["REDIS_URL"]
        self.tells_listeners = kind == "uvicorn"
        self.servers = servers
        self.here = servers[0].url
        self.there = servers[-1].url
        self.name = f"documented-{uuid.uuid4()}"
        self.model = model
        self._gate = gate

    def let_go(self) -> None:
        """Let the source go on to its end."""
        self._open("")

    def let_fail(self) -> None:
        """Let the source go on and raise."""
        self._open("fail")

    def hold(self) -> None:
        """Let the source come to its next pause, and no further."""
        self._open("hold")

    def leash(self) -> None:
        self._gate.unlink(missing_ok=True)
        self.model.leash()

    def _open(self, manner: str) -> None:
        # The file appears with its content, because the source may look at any time.
        written = self._gate.with_suffix(".written")
        written.write_text(manner, encoding="utf-8")
        written.replace(self._gate)
        self.model.let_go()


@asynccontextmanager
async def staged(way: str, program: Path, url: str) -> AsyncIterator[Stage]:
    """Serve the application, with a source that the test controls."""
    gate = program.with_suffix(".gate")
    kind, application = SERVERS.get(way, ("uvicorn", "web.documented:app"))
    async with FakeModel() as model, AsyncExitStack() as stack:
        environment = {
            "SNIPPET": str(program),
            "GATE": str(gate),
            "REDIS_URL": url,
            "STREAM_OWNER_KEY": KEY,
            "OPENAI_BASE_URL": model.url,
            "OPENAI_API_KEY": "nobody asks for it",
        }
        servers = [
            WebServer(kind, application, environment=environment)
            for _ in range(1 if url.startswith("memory") else 2)
        ]
        await asyncio.gather(*(stack.enter_async_context(server) for server in servers))
        stage = Stage(servers, environment, gate, kind, model)
        stage.leash()
        yield stage
