"""Two processes that serve an application which a document shows, with its source on a leash."""

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
    """Two server processes of the application shown, or twice the same one.

    Attributes:
        redis_url: where they meet.
        model: answers those that ask OpenAI.
    """

    def __init__(
        self, servers: list[WebServer], redis_url: str, gate: Path, kind: str, model: FakeModel
    ) -> None:
        self.redis_url = redis_url
        self.tells_listeners = kind == "uvicorn"
        self.servers = servers
        self.here = servers[0].url
        self.there = servers[-1].url
        self.name = f"documented-{uuid.uuid4()}"
        self.model = model
        self._gate = gate

    def let_go(self) -> None:
        """The source goes on, to its end."""
        self._open("")

    def let_fail(self) -> None:
        """The source goes on, and raises."""
        self._open("fail")

    def leash(self) -> None:
        self._gate.unlink(missing_ok=True)
        self.model.leash()

    def _open(self, manner: str) -> None:
        # Whole from the start: the source looks at any time.
        written = self._gate.with_suffix(".written")
        written.write_text(manner, encoding="utf-8")
        written.replace(self._gate)
        self.model.let_go()


@asynccontextmanager
async def staged(way: str, program: Path, url: str) -> AsyncIterator[Stage]:
    """Serve it, with its source on a leash."""
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
        stage = Stage(servers, url, gate, kind, model)
        stage.leash()
        yield stage
