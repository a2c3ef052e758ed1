"""An application that a document shows, with a source that the test controls.

After ``FREE`` pauses the source waits for the file ``GATE``, so that the test and not the clock
decides how far it gets. If the file says "fail", the source then fails. While it says "hold", the
source waits in each pause.
"""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import os
import sys
from pathlib import Path
from typing import Any

from support.expected_logs import is_unexpected

FREE = 3
_GATE = os.environ["GATE"]
_pauses = 0


class _Leash:
    """Stands for ``asyncio`` in the document: only its ``sleep`` differs and waits for the test."""

    def __getattr__(self, name: str) -> Any:
        return getattr(asyncio, name)

    async def sleep(self, _: float) -> None:
        global _pauses  # noqa: PLW0603
        _pauses += 1
        free = _pauses <= FREE
        while (manner := _manner()) == "hold" or (manner is None and not free):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        if manner == "fail" and not free:
            raise RuntimeError("the model has failed")


def _manner() -> str | None:
    """Return what the file says; None without one."""
    try:
        return Path(_GATE).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None


def _load() -> Any:
    spec = importlib.util.spec_from_file_location("shown", os.environ["SNIPPET"])
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["shown"] = module
    spec.loader.exec_module(module)
    vars(module)["asyncio"] = _Leash()
    return module


async def app(scope: Any, receive: Any, send: Any) -> None:
    """The application shown; ``/listeners`` says how many streams of other processes it reads."""
    if scope.get("path") != "/listeners":
        await _shown.app(scope, receive, send)
        return
    count = sum(" listener " in task.get_name() for task in asyncio.all_tasks())
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": str(count).encode()})


logging.getLogger("resumable_stream").addFilter(is_unexpected)
_shown = _load()
make_app = getattr(_shown, "make_app", None)
broker = getattr(_shown, "broker", None)
