"""The user's own client as a connection."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from resumable_stream.adapter_kit import closed
from resumable_stream.errors import BackendUnavailableError
from resumable_stream_nats import _driver
from resumable_stream_nats._errors import BACKEND, unusable
from resumable_stream_nats._line import Line

if TYPE_CHECKING:
    from nats.aio.client import Client


class SharedLink:
    """The user's own client, which reconnects by itself and is never closed from here."""

    longest_delay = 0.25
    cut_off = False  # it has no task of its own

    def __init__(self, client: Client) -> None:
        self._client = client
        self._line: Line | None = None
        self._theirs: _driver.ErrorCallback | None = None
        self._closed = False

    @property
    def over(self) -> bool:
        return self._client.is_closed

    @property
    def max_message_size(self) -> int | None:
        return None if self._line is None else self._line.max_message_size

    @property
    def present(self) -> Line | None:
        line = self._line
        return None if line is None or self._closed or not line.alive else line

    async def reach(self, until: float) -> Line:  # noqa: ARG002 - it is there or it is not
        if self._closed:
            raise closed(BACKEND)
        if self._line is not None and self._line.alive:
            return self._line
        if self._client.is_closed:
            raise BackendUnavailableError("the NATS client of this backend was closed")
        if not self._client.is_connected:
            raise BackendUnavailableError(
                "the NATS client of this backend is not connected"
            ) from self._client.last_error
        line = Line(self._client, own=False)
        line.stand()
        if not line.alive:
            raise BackendUnavailableError("the NATS client of this backend has lost its connection")
        if _driver.reader_of(self._client).get_loop() is not asyncio.get_running_loop():
            raise unusable("the client was connected on another event loop")
        self._line = line
        if self._theirs is None:
            # The client reports denials to this callback only.
            self._theirs = _driver.error_callback(self._client)
            _driver.set_error_callback(self._client, self._hear)
        return line

    async def aclose(self) -> None:
        self._closed = True
        if self._line is not None:
            self._line.end(ConnectionAbortedError("the backend was closed"))
        if self._theirs is not None and _driver.error_callback(self._client) == self._hear:
            _driver.set_error_callback(self._client, self._theirs)

    async def _hear(self, error: Exception) -> None:
        if self._line is not None and not self._closed:
            await self._line.hear(error)
        if self._theirs is not None:
            await self._theirs(error)
