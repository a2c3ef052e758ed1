"""What this backend itself wrote last, so that a write after it need not read first."""

from __future__ import annotations

import asyncio
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from resumable_stream_nats._line import Line

# A renewal comes sooner; the end of a stream, which stays for a day, is never renewed.
_KEPT_FOR = 300.0
_KEPT_KEYS = 100_000
# More than one, so that a time with few writes clears what a time with many has left.
_DROPPED_AT_ONCE = 2


class _Written(NamedTuple):
    value: str
    revision: int
    until: float


class Revisions:
    """The value and the revision of the last write of each key, over one line.

    A revision leads to its value for ever: a key whose last revision it still is holds that value.
    So a revision that is out of date costs one refusal, and never a wrong write. Two things could
    give the same number to another value:

    * A bucket that is made anew. It numbers its messages from another random start
      (``BucketStream.is_unique``); in a bucket without one, nothing is remembered. The server
      compares the number and writes in one step, so nothing can come in between.
    * A server that comes back with an older state, after it has lost what it had not yet stored.
      Nothing is remembered across the end of a connection, or after the bucket's stream was away.

    What remains is an operator who restores a bucket from a backup, or sets ``first_seq`` to a
    number that it has had: they must stop the producers, or wait for one lease after the deletion.
    """

    def __init__(self) -> None:
        self._line: Line | None = None
        self._written: dict[str, _Written] = {}

    def note(self, line: Line, key: str, value: str, revision: int, sent: float, ttl: int) -> None:
        """Remember a write over this line, which was sent at ``sent`` by the event loop's clock."""
        if line is not self._line:
            self._line = line
            self._written.clear()
        # Each write moves its key to the end, so the oldest come first.
        self._written.pop(key, None)
        self._written[key] = _Written(value, revision, sent + min(ttl, _KEPT_FOR))
        now = asyncio.get_running_loop().time()
        for oldest in list(islice(self._written, _DROPPED_AT_ONCE)):
            if self._written[oldest].until > now and len(self._written) <= _KEPT_KEYS:
                return
            del self._written[oldest]

    def of(self, line: Line, key: str, value: str) -> int | None:
        """Return the revision of a key's last write, if it wrote this value and may still stand."""
        written = self._written.get(key) if line is self._line else None
        if written is None or written.value != value:
            return None
        if written.until <= asyncio.get_running_loop().time():
            return None
        return written.revision

    def forget(self, key: str) -> None:
        self._written.pop(key, None)

    def clear(self) -> None:
        self._written.clear()
