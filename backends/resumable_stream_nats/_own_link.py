"""Connections of the backend's own, each opened, watched and cleared away."""

from __future__ import annotations

import asyncio
import random
from functools import partial
from typing import TYPE_CHECKING, Any

from nats.errors import NoServersError, StaleConnectionError

from resumable_stream.adapter_kit import (
    again,
    closed,
    ending,
    heed_cancellation,
    is_cut_off,
    stop,
)
from resumable_stream.errors import BackendError, BackendUnavailableError
from resumable_stream_nats import _driver
from resumable_stream_nats._errors import BACKEND, failed, refused, unusable
from resumable_stream_nats._line import Line

if TYPE_CHECKING:
    import ssl
    from pathlib import Path

    from nats.aio.client import Client

    from resumable_stream_nats._settings import Servers

# A frozen server is given up after this many intervals in which nothing arrived, not even a pong.
# Intervals are counted, because a process that was itself stopped must first read what has come.
PING_INTERVAL = 2.0
_SILENT_INTERVALS = 3

# Beyond this many bytes nats-py blocks publishers. The outbox sets a lower limit of its own.
_PENDING_SIZE = 8 * 1024 * 1024
_RETRY_AFTER = 0.01
_LEAST_SHARE = 0.5
_LEAST_PAYLOAD = 4096


class OwnLink:
    """Connections of the backend's own, one after another.

    nats-py can reconnect by itself, but then sends what it still holds, long after its caller was
    told that it failed. Here what was not sent is dropped with its connection.
    """

    longest_delay = 2.0
    over = False

    def __init__(
        self,
        servers: Servers,
        credentials: str | Path | None,
        inbox_prefix: str | None,
        tls: ssl.SSLContext | None,
        timeout: float,
    ) -> None:
        self._servers = servers
        self._credentials = credentials
        self._inbox_prefix = inbox_prefix
        self._tls = tls
        self._timeout = timeout
        self._announced: tuple[str, ...] = ()
        self._line: Line | None = None
        self._opening: asyncio.Task[Line] | None = None
        self._attending: set[asyncio.Task[None]] = set()
        self._closed = False
        self._cut_off = False

    @property
    def cut_off(self) -> bool:
        if not (self._closed or self._cut_off):
            # Every call of a backend asks this: the check that usually settles it comes first.
            for task in (self._opening, *self._attending):
                if task is not None and task.cancelling() and is_cut_off(task):
                    self._cut_off = True
        return self._cut_off

    @property
    def max_message_size(self) -> int | None:
        return None if self._line is None else self._line.max_message_size

    @property
    def present(self) -> Line | None:
        line = self._line
        return None if line is None or self._closed or not line.alive else line

    async def reach(self, until: float) -> Line:
        if self._closed:
            raise closed(BACKEND)
        if self.cut_off:
            raise ending(BACKEND)
        if self._line is not None and self._line.alive:
            return self._line
        if self._opening is None or self._opening.done():
            self._opening = asyncio.create_task(self._open(), name="resumable-stream nats connect")
        opening = self._opening
        await asyncio.wait({opening}, timeout=until - asyncio.get_running_loop().time())
        if not opening.done():
            raise refused(TimeoutError("no connection in time"))
        if opening.cancelled():
            raise self._over()
        error = opening.exception()
        if isinstance(error, BackendError):
            raise again(error)
        return opening.result()

    async def aclose(self) -> None:
        self._closed = True
        if self._opening is not None:
            await stop(self._opening)
        if self._line is not None:
            self._line.end(ConnectionAbortedError("the backend was closed"))
        if self._attending:
            await asyncio.wait(self._attending)

    def _over(self) -> BackendUnavailableError:
        return ending(BACKEND) if self.cut_off else closed(BACKEND)

    async def _open(self) -> Line:
        """Connect to the first server that answers; the given ones come before the announced."""
        given, announced = list(self._servers.urls), list(self._announced)
        random.shuffle(given)
        random.shuffle(announced)
        servers = given + announced
        share = max(_LEAST_SHARE, self._timeout / len(servers))
        trouble: BackendUnavailableError | None = None
        for server in servers:
            try:
                line = await self._connect(server, share)
            except BackendUnavailableError as error:
                heed_cancellation()
                trouble = error
            else:
                self._keep(line)
                return line
        raise trouble or refused(NoServersError())

    async def _connect(self, server: str, limit: float) -> Line:
        needs_tls = self._servers.tls_only or self._tls is not None
        client = _driver.OwnClient(needs_tls=needs_tls)
        line = Line(client, own=True)
        connected = False
        try:
            async with asyncio.timeout(limit):
                await client.connect(server, error_cb=line.hear, **self._options(server, limit))
                line.stand()
                # Once this is confirmed, the account's limits are known, too.
                await line.confirm(until=asyncio.get_running_loop().time() + limit)
            _check_payload(client)
            connected = True
        except BackendUnavailableError:
            raise
        except TimeoutError as error:
            raise refused(TimeoutError(f"no connection within {limit:g} s")) from error
        except NoServersError as error:
            raise failed(line.trouble or error) from error
        except Exception as error:
            # Credential files and resolvers are the user's own: they may raise anything.
            raise failed(error) from error
        finally:
            if not connected:
                # Even a client that has closed itself: it may have stopped half-way.
                await _driver.discard(client)
        return line

    def _options(self, server: str, limit: float) -> dict[str, Any]:
        options: dict[str, Any] = {
            "name": "resumable-stream",
            "allow_reconnect": False,
            "max_reconnect_attempts": 1,
            "reconnect_time_wait": _RETRY_AFTER,
            "connect_timeout": limit,
            "pending_size": _PENDING_SIZE,
            **self._servers.login,
        }
        if self._credentials is not None:
            options["user_credentials"] = str(self._credentials)
        if self._inbox_prefix is not None:
            options["inbox_prefix"] = self._inbox_prefix
        if self._tls is not None:
            options["tls"] = self._tls
        if server in self._announced:
            # A cluster announces its servers by address; their certificates name hosts.
            options["tls_hostname"] = self._servers.host
        return options

    def _keep(self, line: Line) -> None:
        self._line = line
        scheme = "tls" if self._servers.tls_only else "nats"
        found = (f"{scheme}://{uri.netloc}" for uri in line.client.discovered_servers)
        new = [url for url in found if url not in self._servers.urls]
        self._announced = tuple(dict.fromkeys(new))
        task = asyncio.create_task(self._attend(line), name="resumable-stream nats connection")
        self._attending.add(task)
        task.add_done_callback(partial(self._attended, line))

    def _attended(self, line: Line, task: asyncio.Task[None]) -> None:
        if self.cut_off:
            # A task that is cancelled before its first step does not clear away by itself.
            line.end(StaleConnectionError())
            _driver.abort(line.client)
        self._attending.discard(task)

    async def _attend(self, line: Line) -> None:
        """Watch the connection until it is lost, then clear it away."""
        try:
            await _watch(line)
        finally:
            line.end(StaleConnectionError())
            _driver.abort(line.client)
        await _driver.discard(line.client)


def _check_payload(client: Client) -> None:
    if client.max_payload < _LEAST_PAYLOAD:
        raise unusable(
            f"the server's max_payload is {client.max_payload} bytes: configure 128 KiB or more"
        )


async def _watch(line: Line) -> None:
    """Return once the connection is lost or the server has fallen silent."""
    client, pong, heard, silent = line.client, _driver.Pong(_ignore), 0, 0
    pong.settle(None)
    while True:
        await asyncio.wait({line.lost}, timeout=PING_INTERVAL)
        if line.lost.done():
            return
        answered, received = pong.over, client.stats["in_bytes"] + client.stats["in_msgs"]
        silent = 0 if answered or received != heard else silent + 1
        if silent >= _SILENT_INTERVALS:
            line.end(StaleConnectionError("the server has stopped answering"))
            return
        heard = received
        if answered:
            pong = _driver.Pong(_ignore)
            line.probe(pong)


def _ignore(_pong: _driver.Pong, _error: Exception | None) -> None:
    """Look at ``over`` from time to time."""
