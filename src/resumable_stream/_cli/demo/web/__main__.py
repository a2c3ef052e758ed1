"""One instance in a process of its own.

Its settings are the first line of standard input. It writes the port that it listens on to standard
output. It ends when its standard input does, so that it never outlives the demo.
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
            # Closed before the server, so that readers learn that this instance ends.
            await context.aclose()
    return 0


async def _end_of_input() -> None:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()

    def read() -> None:
        while os.read(_STDIN, 4096):
            pass
        loop.call_soon_threadsafe(ended.set)

    # A thread can wait for any kind of input on any system; a daemon does not delay the exit.
    threading.Thread(target=read, daemon=True).start()
    await ended.wait()


if __name__ == "__main__":
    logging.getLogger("resumable_stream").addHandler(logging.NullHandler())
    sys.exit(run(_serve(json.loads(sys.stdin.readline()))))
