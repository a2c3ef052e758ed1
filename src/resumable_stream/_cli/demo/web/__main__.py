"""One instance in a process of its own.

Its settings are the first line of standard input. It answers on standard output with the port it
listens on, and ends with its standard input, so that it never outlives the demo.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
import sys
import threading
from typing import Any

from resumable_stream import create_resumable_stream_context
from resumable_stream._cli.console import run
from resumable_stream._cli.demo.web.answers import OPTIONS, Answers
from resumable_stream._cli.demo.web.server import serving

_STDIN = 0


async def _serve(settings: dict[str, Any]) -> int:
    async with create_resumable_stream_context(settings["url"], options=OPTIONS) as context:
        answers = Answers(context, settings["text"])
        listener = socket.create_server(("127.0.0.1", 0))
        async with serving(answers.app, listener):
            sys.stdout.write(f"{listener.getsockname()[1]}\n")
            sys.stdout.flush()
            await _end_of_input()
            # Readers are told by their end that this instance goes.
            await context.aclose()
    return 0


async def _end_of_input() -> None:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()

    def read() -> None:
        while os.read(_STDIN, 4096):
            pass
        loop.call_soon_threadsafe(ended.set)

    # A thread can wait for any kind of input on any system; as a daemon it holds up nobody.
    threading.Thread(target=read, daemon=True).start()
    await ended.wait()


if __name__ == "__main__":
    logging.getLogger("resumable_stream").addHandler(logging.NullHandler())
    sys.exit(run(_serve(json.loads(sys.stdin.readline()))))
