"""The broker of the in-memory backend: keys with a time to live, channels, and logs."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from typing import TYPE_CHECKING
from weakref import WeakSet, WeakValueDictionary

from resumable_stream.adapter_kit import call_safely
from resumable_stream.ports import Loss
from resumable_stream_memory._logs import Logs

if TYPE_CHECKING:
    from collections.abc import Callable

# What one subscription may hold before it drops and reports a loss.
MAX_PENDING_MESSAGES = 1024
MAX_PENDING_BYTES = 16 * 1024 * 1024

# Expired keys are dropped after this many writes, or one for each key if there are more keys.
_SWEEP_EVERY = 1024

_buses: WeakValueDictionary[str, Bus] = WeakValueDictionary()
_buses_lock = threading.Lock()


def join_bus(name: str, user: object) -> Bus:
    """Return the bus of that name, which is kept until ``user`` leaves or is forgotten."""
    with _buses_lock:
        bus = _buses.get(name)
        if bus is None:
            bus = _buses[name] = Bus()
        bus.users.add(user)
        return bus


def leave_bus(name: str, user: object) -> None:
    """Forget the bus once its last user has left, even if a reader still holds it."""
    with _buses_lock:
        bus = _buses.get(name)
        if bus is not None:
            bus.users.discard(user)
            if not bus.users:
                del _buses[name]


class Bus:
    """One broker. Every method is atomic, and may be called from any thread."""

    def __init__(self) -> None:
        self.users: WeakSet[object] = WeakSet()
        self.logs = Logs()
        self._lock = threading.Lock()
        self._keys: dict[str, tuple[str, float]] = {}
        self._channels: dict[str, list[Inbox]] = {}
        self._unswept = _SWEEP_EVERY

    def get(self, key: str, now: float) -> str | None:
        with self._lock:
            return self._live(key, now)

    def write(
        self,
        key: str,
        value: str,
        *,
        deadline: float,
        now: float,
        only_if: Callable[[str | None], bool],
    ) -> bool:
        """Write if ``only_if`` accepts the present value; tell whether it did."""
        with self._lock:
            if not only_if(self._live(key, now)):
                return False
            self._keys[key] = (value, deadline)
            self._unswept -= 1
            if not self._unswept:
                self._keys = {k: entry for k, entry in self._keys.items() if entry[1] > now}
                self._unswept = max(_SWEEP_EVERY, len(self._keys))
            return True

    def delete(self, key: str) -> None:
        with self._lock:
            self._keys.pop(key, None)

    def publish(self, channel: str, message: bytes) -> None:
        with self._lock:
            for inbox in self._channels.get(channel, ()):
                inbox.put(message)

    def subscribe(self, channel: str, inbox: Inbox) -> None:
        with self._lock:
            self._channels.setdefault(channel, []).append(inbox)

    def unsubscribe(self, channel: str, inbox: Inbox) -> None:
        with self._lock:
            inboxes = self._channels.get(channel)
            if inboxes and inbox in inboxes:
                inboxes.remove(inbox)
                if not inboxes:
                    del self._channels[channel]

    def count(self, channel: str) -> int:
        with self._lock:
            return len(self._channels.get(channel, ()))

    def _live(self, key: str, now: float) -> str | None:
        entry = self._keys.get(key)
        if entry is None:
            return None
        if entry[1] <= now:
            del self._keys[key]
            return None
        return entry[0]


class Inbox:
    """What one subscription has not handled yet: bounded, and drained on the subscriber's loop."""

    __slots__ = (
        "_closed",
        "_on_loss",
        "_on_message",
        "_overflowed",
        "_pending",
        "_pending_bytes",
        "_turn",
    )

    def __init__(
        self, on_message: Callable[[bytes], None], on_loss: Callable[[Loss], None]
    ) -> None:
        self._turn = _turn_here()
        self._on_message = on_message
        self._on_loss = on_loss
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._overflowed = False
        self._closed = False

    def put(self, message: bytes) -> None:
        turn = self._turn
        with turn.lock:
            if self._closed or turn.loop.is_closed():
                return
            pending, size = self._pending, len(message)
            if not (pending or self._overflowed):
                turn.add(self)
            if (
                len(pending) >= MAX_PENDING_MESSAGES
                or self._pending_bytes + size > MAX_PENDING_BYTES
            ):
                self._overflowed = True
            else:
                pending.append(message)
                self._pending_bytes += size

    def close(self) -> None:
        with self._turn.lock:
            self._closed = True
            self._pending.clear()

    def report_closed(self) -> None:
        self.close()
        if not self._turn.loop.is_closed():
            self._turn.loop.call_soon_threadsafe(call_safely, self._on_loss, Loss.CLOSED)

    def drain(self) -> None:
        with self._turn.lock:
            messages, self._pending = self._pending, []
            self._pending_bytes = 0
            overflowed, self._overflowed = self._overflowed, False
        for message in messages:
            if self._closed:
                return
            call_safely(self._on_message, message)
        if overflowed and not self._closed:
            call_safely(self._on_loss, Loss.OVERFLOW)


class _Turn:
    """Drains, by one call for all, the inboxes of one event loop that have something to handle.

    Attributes:
        lock: of these inboxes, too.
        thread: the one in which the loop runs.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.lock = threading.Lock()
        self.loop = loop
        self.thread = threading.get_ident()
        self._waiting: deque[Inbox] = deque()

    def add(self, inbox: Inbox) -> None:
        """Drain the inbox soon. The caller holds the lock."""
        if not self._waiting:
            self._begin()
        self._waiting.append(inbox)

    def _begin(self) -> None:
        if threading.get_ident() == self.thread:
            self.loop.call_soon(self._drain)
        else:
            self.loop.call_soon_threadsafe(self._drain)

    def _drain(self) -> None:
        with self.lock:
            waiting, self._waiting = self._waiting, deque()
        try:
            while waiting:
                waiting.popleft().drain()
        finally:
            if waiting:  # somebody has interrupted the program, and may go on
                with self.lock:
                    self._waiting.extendleft(reversed(waiting))
                    self._begin()


_turns: WeakValueDictionary[asyncio.AbstractEventLoop, _Turn] = WeakValueDictionary()
_turns_lock = threading.Lock()


def _turn_here() -> _Turn:
    """Return the turn of the running loop, which its inboxes keep."""
    loop = asyncio.get_running_loop()
    with _turns_lock:
        turn = _turns.get(loop)
        if turn is None:
            turn = _turns[loop] = _Turn(loop)
        turn.thread = threading.get_ident()  # a loop may go on in another one
    return turn
