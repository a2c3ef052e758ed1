"""What an event loop does not tell by itself."""

from __future__ import annotations

import asyncio


def is_ending(loop: asyncio.AbstractEventLoop) -> bool:
    """Tell whether the loop is being shut down, as ``asyncio.run`` does: by cancelling every task.

    Ask this once a task of yours was cancelled, and not by you. While it is true, a new task would
    not come to its end before the loop is closed.
    """
    return loop.is_closed() or all(task.cancelling() for task in asyncio.all_tasks(loop))
