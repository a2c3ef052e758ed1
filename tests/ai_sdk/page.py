"""Drives pages that use ``useChat``: each is a Node process, which stands for a browser's tab."""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from support.npm import NODE
from web.client import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path


@dataclass(frozen=True)
class Shown:
    """What the page shows; ``ends`` holds what ``onFinish`` received for each answer."""

    status: str = ""
    messages: list[dict[str, Any]] = field(default_factory=list)
    error: str | None = None
    ends: list[dict[str, Any]] = field(default_factory=list)

    @property
    def answer(self) -> dict[str, Any]:
        """The last message, if it is the model's."""
        if self.messages and self.messages[-1]["role"] == "assistant":
            return self.messages[-1]
        return {"parts": []}

    @property
    def text(self) -> str:
        return "".join(part.get("text", "") for part in self.answer["parts"])

    @property
    def states(self) -> list[str]:
        return [part["state"] for part in self.answer["parts"]]


class Page:
    """One tab; leaving the block closes it.

    Args:
        program: page.mjs, beside its packages.
        server: the URL of the server that has the endpoints.
        chat: the id of the chat.
        messages: the chat's messages that the application has stored.

    Attributes:
        shown: what the page shows now.
        statuses: each change of the status since the page was opened, in order.
        answers: the method and the status code of each response.
    """

    def __init__(
        self, program: Path, server: str, chat: str, messages: Sequence[dict[str, Any]] = ()
    ) -> None:
        self._command = (str(NODE), str(program), f"{server}/api/chat", chat, json.dumps(messages))
        self.shown = Shown()
        self.statuses: list[str] = []
        self.answers: list[tuple[str, int]] = []

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            # In development mode react-test-renderer warns that it is deprecated.
            env=os.environ | {"NODE_ENV": "production"},
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()

    async def tell(self, what: str, **more: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": what} | more).encode() + b"\n")
        await self._process.stdin.drain()

    async def until(self, reached: Callable[[Shown], bool]) -> Shown:
        """Wait until ``reached`` is true for what the page shows."""
        return await self._until(lambda: reached(self.shown))

    async def until_status(self, status: str) -> Shown:
        return await self.until(lambda shown: shown.status == status)

    async def until_ended(self, count: int = 1) -> Shown:
        """Wait until ``count`` answers have ended, in any way."""
        return await self.until(lambda shown: len(shown.ends) == count)

    async def until_answered(self, method: str, code: int) -> Shown:
        return await self._until(lambda: (method, code) in self.answers)

    async def _until(self, reached: Callable[[], bool]) -> Shown:
        assert self._process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            while not reached():
                line = await self._process.stdout.readline()
                assert line, f"the page has gone; it showed {self.shown}"
                self._take(json.loads(line))
        return self.shown

    def _take(self, told: dict[str, Any]) -> None:
        if "status" in told:
            self.shown = Shown(**told)
            self.statuses += [] if self.statuses[-1:] == [told["status"]] else [told["status"]]
        else:
            self.answers.append((told["method"], told["code"]))
