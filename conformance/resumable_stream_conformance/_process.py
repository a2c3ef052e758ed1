"""Another process on the same broker: this module starts it, and is the program that it runs."""

from __future__ import annotations

import asyncio
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from resumable_stream_conformance._opening import open_backend_at

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

LONG = 600


@asynccontextmanager
async def other_process(place: str, namespace: str) -> AsyncIterator[None]:
    """Run the answering program while the block runs."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", __name__, place, namespace, stdin=asyncio.subprocess.PIPE
    )
    try:
        yield
        # The program ends when its input does.
        await process.communicate(b"")
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, "the other process failed; its errors stand above"


async def answer(place: str, namespace: str) -> None:
    """Copy one key, then answer every message, until the standard input ends."""
    backend = await open_backend_at(place)
    answers: set[asyncio.Task[None]] = set()

    def reply(message: bytes) -> None:
        answers.add(
            asyncio.ensure_future(backend.publish(f"{namespace}.to-us", message + b", heard"))
        )

    try:
        ours = await backend.get(f"{namespace}.ours")
        await backend.set(f"{namespace}.theirs", f"{ours}, seen", ttl=LONG)
        await backend.subscribe(f"{namespace}.to-them", reply, lambda _loss: None)
        await backend.publish(f"{namespace}.to-us", b"ready")
        await asyncio.to_thread(sys.stdin.read)
        await asyncio.gather(*answers)
    finally:
        await backend.aclose()


if __name__ == "__main__":
    asyncio.run(answer(*sys.argv[1:]))
