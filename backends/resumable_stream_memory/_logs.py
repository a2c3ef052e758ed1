"""What the journal of the in-memory backend holds: logs of records, each with a time to live."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field

# Each append looks at this many logs, those looked at longest ago, and drops what has expired.
_LOOKED_AT = 2


@dataclass(slots=True)
class _Log:
    deadline: float
    records: list[bytes] = field(default_factory=list)


class Logs:
    """All logs of one bus. Every method is atomic, and may be called from any thread.

    A log stays as long as the record that lives longest: its front does not go before the rest.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._logs: OrderedDict[str, _Log] = OrderedDict()

    def append(self, name: str, index: int, record: bytes, *, deadline: float, now: float) -> bool:
        """Append if ``index`` is the next one; tell whether it was."""
        with self._lock:
            self._drop_some(now)
            log = self._live(name, now)
            if index != (0 if log is None else len(log.records)):
                return False
            if log is None:
                log = self._logs[name] = _Log(deadline)
            log.records.append(record)
            log.deadline = max(log.deadline, deadline)
            return True

    def read(self, name: str, index: int, *, max_bytes: int, now: float) -> list[bytes]:
        with self._lock:
            log = self._live(name, now)
            if log is None or index >= len(log.records):
                return []
            end, size = index + 1, len(log.records[index])
            while end < len(log.records) and size + len(log.records[end]) <= max_bytes:
                size += len(log.records[end])
                end += 1
            return log.records[index:end]

    def delete(self, name: str) -> None:
        with self._lock:
            self._logs.pop(name, None)

    def _live(self, name: str, now: float) -> _Log | None:
        log = self._logs.get(name)
        if log is None or log.deadline > now:
            return log
        del self._logs[name]
        return None

    def _drop_some(self, now: float) -> None:
        for _ in range(min(_LOOKED_AT, len(self._logs))):
            name = next(iter(self._logs))
            if self._live(name, now) is not None:
                self._logs.move_to_end(name)
