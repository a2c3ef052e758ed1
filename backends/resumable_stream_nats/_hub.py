"""Every subscription of a backend: one of NATS for each subject, made anew on each line."""

from __future__ import annotations

import asyncio
import logging
import random
from typing import TYPE_CHECKING

import nats.errors

from resumable_stream.adapter_kit import Worker, stop
from resumable_stream.errors import BackendError
from resumable_stream.ports import Loss
from resumable_stream_nats._channel import Channel, Interest
from resumable_stream_nats._errors import (
    DeniedError,
    again,
    closed,
    ending,
    is_final,
    refused,
)
from resumable_stream_nats._line import call_safely

if TYPE_CHECKING:
    from collections.abc import Callable

    from resumable_stream.errors import BackendUnavailableError
    from resumable_stream_nats._line import Line
    from resumable_stream_nats._link import Link

logger = logging.getLogger("resumable_stream")

# What nats-py may hold for one subscription before it drops, which is then reported.
MAX_PENDING_MESSAGES = 16 * 1024
MAX_PENDING_BYTES = 16 * 1024 * 1024

# Subscribed without a turn of the event loop when very many subjects are subscribed anew.
_TURN_SUBJECTS = 64

_FIRST_DELAY = 0.02
# A subject that was allowed, and after a reconnect no longer is, is tried again this often.
_DENIED_DELAY = 2.0
_LEAVE_TIMEOUT = 1.0


class HubSubscription:
    """One subscriber of a channel."""

    def __init__(
        self,
        hub: Hub,
        channel: Channel,
        on_message: Callable[[bytes], None],
        on_loss: Callable[[Loss], None],
    ) -> None:
        self.channel = channel
        self.on_message = on_message
        self.on_loss = on_loss
        self.ended = False
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._hub = hub

    async def aclose(self) -> None:
        self._hub.end(self)


class Hub:
    """Keeps every channel subscribed on the present line, as long as there are any."""

    def __init__(self, link: Link, timeout: float) -> None:
        self._link = link
        self._timeout = timeout
        self._channels: dict[str, Channel] = {}
        self._left: list[Interest] = []
        self._wake = asyncio.Event()
        self._worker = Worker(
            self._run, "resumable-stream nats interests", self._is_left, self._ended
        )
        self._progress = False
        self._trouble: BaseException = TimeoutError("the server did not confirm in time")

    @property
    def cut_off(self) -> bool:
        """The event loop is being shut down."""
        return self._worker.cut_off

    async def subscribe(
        self, subject: str, on_message: Callable[[bytes], None], on_loss: Callable[[Loss], None]
    ) -> HubSubscription:
        if self._worker.over:
            raise self._over()
        channel = self._channels.get(subject)
        if channel is None:
            channel = self._channels[subject] = Channel(subject)
        subscription = HubSubscription(self, channel, on_message, on_loss)
        channel.subscribers += (subscription,)
        if channel.line is not None and channel.line.alive:
            subscription.ready.set_result(None)
            return subscription
        self._start()
        try:
            await asyncio.wait([subscription.ready], timeout=self._timeout)
            if not subscription.ready.done():
                subscription.ready.set_exception(refused(self._trouble))
            subscription.ready.result()
        except BaseException:
            self.end(subscription)
            raise
        return subscription

    def end(self, subscription: HubSubscription) -> None:
        if subscription.ended:
            return
        subscription.ended = True
        _settle(subscription.ready)
        channel = subscription.channel
        channel.subscribers = tuple(s for s in channel.subscribers if s is not subscription)
        if not channel.subscribers and self._channels.get(channel.subject) is channel:
            del self._channels[channel.subject]
            self._leave(channel)

    async def aclose(self) -> None:
        await self._worker.stop()
        self._close_all()
        if self.cut_off:
            return  # what was subscribed goes with its connection
        leaving = asyncio.create_task(self._unsubscribe(), name="resumable-stream nats leave")
        await asyncio.wait({leaving}, timeout=_LEAVE_TIMEOUT)
        await stop(leaving)

    def _start(self) -> None:
        self._wake.set()
        self._worker.begin()

    def _leave(self, channel: Channel) -> None:
        if channel.interest is not None:
            self._left.append(channel.interest)
            channel.interest = None
            self._start()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        delay = _FIRST_DELAY
        while self._is_left():
            await self._unsubscribe()
            if self._link.over:
                self._close_all()
                continue
            if not self._channels:
                continue
            self._progress = False
            try:
                line = await self._link.reach(loop.time() + self._timeout)
                await self._serve(line)
            except BackendError as error:
                self._trouble = error.__cause__ or error
                if is_final(error):
                    self._fail_new(error)
            except (nats.errors.Error, OSError) as error:
                self._trouble = error
            if self._progress:
                delay = _FIRST_DELAY
            if self._channels:
                await asyncio.sleep(delay * random.uniform(0.5, 1.5))
                delay = min(delay * 2, self._link.longest_delay)

    def _is_left(self) -> bool:
        return bool(self._channels or self._left)

    def _ended(self, _error: BaseException | None) -> None:
        if self._worker.over:
            self._close_all()

    def _over(self) -> BackendUnavailableError:
        return ending() if self.cut_off else closed()

    async def _serve(self, line: Line) -> None:
        """Subscribe what is not subscribed, drop what was left, until the line is lost or idle."""
        line.lost.add_done_callback(self._line_lost)
        try:
            await self._keep_subscribed(line)
        finally:
            # A line outlives many a last channel, and would keep one callback for each.
            line.lost.remove_done_callback(self._line_lost)

    def _line_lost(self, _: object) -> None:
        self._wake.set()

    async def _keep_subscribed(self, line: Line) -> None:
        while line.alive and self._channels:
            self._wake.clear()
            await self._unsubscribe()
            now = asyncio.get_running_loop().time()
            missing = [c for c in self._channels.values() if c.line is not line]
            if due := [channel for channel in missing if channel.denied_until <= now]:
                await self._subscribe(line, due)
                continue
            try:
                async with asyncio.timeout(_DENIED_DELAY if missing else None):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _subscribe(self, line: Line, channels: list[Channel]) -> None:
        loop = asyncio.get_running_loop()
        with line.watch("subscription", (channel.subject for channel in channels)) as watch:
            work = self._send_subscribes(line, channels)
            try:
                await line.run(work, until=loop.time() + self._timeout)
                await line.confirm(until=loop.time() + self._timeout)
            except TimeoutError as error:
                line.fail(error)
                raise
        for channel in channels:
            # One that was left and joined again meanwhile is another object, and is due again.
            if self._channels.get(channel.subject) is not channel:
                continue
            if denial := watch.denial_of(channel.subject):
                self._refuse(channel, denial)
            else:
                self._confirm(channel, line)

    async def _send_subscribes(self, line: Line, channels: list[Channel]) -> None:
        for number, channel in enumerate(channels):
            if self._channels.get(channel.subject) is not channel:
                continue
            if channel.interest is not None:
                self._left.append(channel.interest)
            interest = channel.interest = Interest(channel)
            interest.subscription = await line.client.subscribe(
                channel.subject,
                cb=interest.receive,
                pending_msgs_limit=MAX_PENDING_MESSAGES,
                pending_bytes_limit=MAX_PENDING_BYTES,
            )
            if channel.interest is not interest:
                self._left.append(interest)
            if number % _TURN_SUBJECTS == 0:
                await asyncio.sleep(0)

    def _confirm(self, channel: Channel, line: Line) -> None:
        self._progress = True
        channel.line = line
        for subscription in channel.subscribers:
            if subscription.ended:
                continue
            if subscription.ready.done():
                call_safely(subscription.on_loss, Loss.RECONNECTED)
            else:
                subscription.ready.set_result(None)

    def _fail_new(self, error: BackendError) -> None:
        """Whoever asks for the first time need not wait for what will not change by itself."""
        for channel in list(self._channels.values()):
            for subscription in channel.subscribers:
                if not subscription.ready.done():
                    subscription.ready.set_exception(again(error))
                    self.end(subscription)

    def _refuse(self, channel: Channel, denial: DeniedError) -> None:
        channel.denied_until = asyncio.get_running_loop().time() + _DENIED_DELAY
        for subscription in channel.subscribers:
            if not subscription.ready.done():
                subscription.ready.set_exception(refused(denial))
                self.end(subscription)

    async def _unsubscribe(self) -> None:
        left, self._left = self._left, []
        for interest in left:
            if interest.subscription is not None:
                try:
                    await interest.subscription.unsubscribe()
                except (nats.errors.Error, OSError) as error:
                    # It went with its connection.
                    logger.debug("nats: unsubscribing failed: %r", error)

    def _close_all(self) -> None:
        for channel in list(self._channels.values()):
            for subscription in channel.subscribers:
                established = _established(subscription)
                if not subscription.ready.done():
                    subscription.ready.set_exception(self._over())
                self.end(subscription)
                if established:
                    call_safely(subscription.on_loss, Loss.CLOSED)


def _established(subscription: HubSubscription) -> bool:
    ready = subscription.ready
    return ready.done() and not ready.cancelled() and ready.exception() is None


def _settle(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.cancel()
    elif not ready.cancelled():
        ready.exception()  # retrieved, lest asyncio report it as forgotten
