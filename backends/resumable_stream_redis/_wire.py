"""Encode commands, and open connections within a time limit."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from resumable_stream.adapter_kit import heed_cancellation
from resumable_stream_redis._errors import failed, refused

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from resumable_stream_redis._driver import Connection

# From here on, to copy an argument takes longer than to hand it to the system by itself.
_LARGE = 64 * 1024


def pack(*arguments: bytes) -> list[bytes]:
    """Encode one command, in as many parts as it takes to copy no large argument.

    hiredis' own ``pack_command`` copies each argument twice: 0.4 ms for one of 256 kB.
    """
    parts = [b"*%d\r\n" % len(arguments)]
    for argument in arguments:
        parts += (b"$%d\r\n" % len(argument), argument, b"\r\n")
    return gather(parts)


def gather(parts: Iterable[bytes]) -> list[bytes]:
    """Join what follows each other and is not large."""
    gathered: list[bytes] = []
    small: list[bytes] = []
    for part in parts:
        if len(part) < _LARGE:
            small.append(part)
            continue
        gathered += (b"".join(small), part)
        small = []
    if small:
        gathered.append(b"".join(small))
    return gathered


async def connect(open_connection: Callable[[], Awaitable[Connection]], limit: float) -> Connection:
    """Open a connection within ``limit`` seconds.

    Raises:
        BackendUnavailableError: it could not be opened.
        BackendFaultError: because of a bug.
    """
    try:
        async with asyncio.timeout(limit):
            return await open_connection()
    except TimeoutError as error:
        raise refused(TimeoutError(f"no connection within {limit:g} s")) from error
    except Exception as error:
        heed_cancellation()
        # Credential providers and resolvers are the user's own code: they may raise anything.
        raise failed(error) from error
