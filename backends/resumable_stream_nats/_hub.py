"""Every subscription of a backend: one of NATS for each subject, made again on each line."""

from __future__ import annotations

import asyncio
import logging
import random
from typing import TYPE_CHECKING

import nats.errors

from resumable_stream.adapter_kit import Backoff, Subscribers, Worker
from resumable_stream.errors import BackendError
from resumable_stream_nats import _driver
from resumable_stream_nats._errors import BACKEND, DeniedError, is_final, refused
from resumable_stream_nats._interest import Interest

if TYPE_CHECKING:
    from collections.abc import Callable

    from nats.aio.client import Client

    from resumable_stream.adapter_kit import Channel, Subscriber
    from resumable_stream.ports import Loss
    from resumable_stream_nats._line import Line
    from resumable_stream_nats._link import Link

logger = logging.getLogger("resumable_stream")

# Subscribed in one turn of the event loop when very many subjects are subscribed again.
_TURN_SUBJECTS = 512

_FIRST_DELAY = 0.02
# A subject that was allowed, and is denied after a reconnect, is tried again this often.
_DENIED_DELAY = 2.0


class Hub:
    """Keeps every channel subscribed on the present line, while there are channels."""

    def __init__(self, link: Link, timeout: float) -> None:
        self._link = link
        self._timeout = timeout
        self._subscribers: Subscribers[str] = Subscribers(
            self._join, self._leave, timeout=timeout, unconfirmed=lambda: refused(self._trouble)
        )
        self._interests: dict[Channel[str], Interest] = {}
        # In the order in which they came; looking at every channel would take long.
        self._missing: dict[Channel[str], None] = {}
        self._left: list[tuple[Client, bytes]] = []
        self._line: Line | None = None
        self._wake = asyncio.Event()
        self._worker = Worker(
            self._run,
            "resumable-stream nats interests",
            self._is_left,
            self._ended,
            backend=BACKEND,
        )
        self._progress = False
        self._trouble: BaseException = TimeoutError("the server did not confirm in time")

    @property
    def cut_off(self) -> bool:
        """The event loop is being shut down."""
        return self._worker.cut_off

    async def subscribe(
        self, subject: str, on_message: Callable[[bytes], None], on_loss: Callable[[Loss], None]
    ) -> Subscriber:
        self._worker.check()
        if self._line is not None and not self._line.alive:
            self._be_on(None)
        return await self._subscribers.subscribe(subject, on_message, on_loss)

    async def aclose(self) -> None:
        await self._worker.stop()
        self._close_all()
        if self.cut_off:
            return  # the server forgets subscriptions with their connection
        self._unsubscribe()

    def _join(self, channel: Channel[str]) -> None:
        self._missing[channel] = None
        self._start()

    def _leave(self, channel: Channel[str]) -> None:
        self._missing.pop(channel, None)
        if self._drop(channel):
            self._start()

    def _start(self) -> None:
        self._wake.set()
        self._worker.begin()

    def _drop(self, channel: Channel[str]) -> bool:
        """Have the channel's interest unsubscribed, if it has one."""
        interest = self._interests.pop(channel, None)
        if interest is None:
            return False
        self._left.append((interest.client, interest.receiver.end()))
        return True

    def _be_on(self, line: Line | None) -> None:
        """Note on which line channels are live: a change of line interrupts all of them."""
        if line is not self._line:
            self._line = line
            self._subscribers.interrupt()
            self._missing = dict.fromkeys(self._subscribers.channels.values())

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        backoff = Backoff(_FIRST_DELAY, self._link.longest_delay)
        while self._is_left():
            self._unsubscribe()
            if self._link.over:
                self._close_all()
                continue
            if not self._subscribers.channels:
                continue
            self._progress = False
            try:
                line = await self._link.reach(loop.time() + self._timeout)
                await self._serve(line)
            except BackendError as error:
                self._trouble = error.__cause__ or error
                if is_final(error):
                    # Time alone does not heal this: fail new subscribers at once.
                    self._subscribers.refuse(error)
            except (nats.errors.Error, OSError) as error:
                self._trouble = error
            if self._progress:
                backoff.reset()
            if self._subscribers.channels:
                await asyncio.sleep(backoff.next() * random.uniform(0.5, 1.5))

    def _is_left(self) -> bool:
        return bool(self._subscribers.channels or self._left)

    def _ended(self, _error: BaseException | None) -> None:
        if self._worker.over:
            self._close_all()

    def _close_all(self) -> None:
        self._subscribers.close(self._worker.refusal())

    async def _serve(self, line: Line) -> None:
        """Subscribe new channels and unsubscribe left ones, until the line is lost or idle."""
        self._be_on(line)
        line.lost.add_done_callback(self._line_lost)
        try:
            await self._keep_subscribed(line)
        finally:
            # A line may be served again and again, and would collect callbacks.
            line.lost.remove_done_callback(self._line_lost)

    def _line_lost(self, _: object) -> None:
        self._wake.set()

    async def _keep_subscribed(self, line: Line) -> None:
        while line.alive and self._subscribers.channels:
            self._wake.clear()
            self._unsubscribe()
            now = asyncio.get_running_loop().time()
            if due := [one for one in self._missing if self._retry_at(one) <= now]:
                await self._subscribe(line, due)
                continue
            try:
                async with asyncio.timeout(_DENIED_DELAY if self._missing else None):
                    await self._wake.wait()
            except TimeoutError:
                continue

    def _retry_at(self, channel: Channel[str]) -> float:
        interest = self._interests.get(channel)
        return 0.0 if interest is None else interest.retry_at

    async def _subscribe(self, line: Line, channels: list[Channel[str]]) -> None:
        loop = asyncio.get_running_loop()
        watch = line.watch("subscription", [channel.name for channel in channels])
        try:
            for first in range(0, len(channels), _TURN_SUBJECTS):
                if first:
                    await asyncio.sleep(0)
                self._send_subscribes(line, channels[first : first + _TURN_SUBJECTS])
            await line.confirm(until=loop.time() + self._timeout)
        except TimeoutError as error:
            line.fail(error)
            raise
        finally:
            line.unwatch(watch)
        for channel in channels:
            if not channel.subscribers:
                continue
            if denial := watch.denial_of(channel.name):
                self._refuse(channel, denial)
            else:
                self._progress = True
                self._missing.pop(channel, None)
                self._subscribers.confirm(channel)

    def _send_subscribes(self, line: Line, channels: list[Channel[str]]) -> None:
        commands = []
        for channel in channels:
            if channel.subscribers:
                self._drop(channel)
                interest = self._interests[channel] = Interest(channel, line.client)
                commands.append(interest.receiver.beginning)
        _driver.send(line.client, commands)

    def _refuse(self, channel: Channel[str], denial: DeniedError) -> None:
        interest = self._interests.get(channel)
        if interest is not None:
            interest.retry_at = asyncio.get_running_loop().time() + _DENIED_DELAY
        self._subscribers.refuse(refused(denial), channel)

    def _unsubscribe(self) -> None:
        left, self._left = self._left, []
        clients: dict[Client, list[bytes]] = {}
        for client, command in left:
            clients.setdefault(client, []).append(command)
        for client, commands in clients.items():
            try:
                _driver.send(client, commands)
            except (nats.errors.Error, OSError) as error:
                # The subscriptions went with their connection.
                logger.debug("nats: unsubscribing failed: %r", error)
