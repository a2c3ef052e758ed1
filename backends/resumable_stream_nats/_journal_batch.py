"""Records that are read together."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

from nats.js import api

if TYPE_CHECKING:
    from nats.aio.msg import Msg

# The most bytes that are asked for at once; the last record may exceed them.
BATCH_BYTES = 512 * 1024

# The header with the number of a record in its log.
INDEX = "RS-Index"

_SEQUENCE = "Nats-Sequence"
_LEFT = "Nats-Num-Pending"
_STATUS = api.Header.STATUS.value
# The end of the batch, and none to begin with.
_ENDS = ("204", "404")


class Record(NamedTuple):
    """A record, its number in the log and its sequence number in the stream."""

    number: int
    sequence: int
    data: bytes


class Following(NamedTuple):
    """Records, and whether the log had no more where they were read."""

    records: list[Record]
    ended: bool


class Batch(asyncio.Future["Msg"]):
    """The answer to a question for many records: it is done with the message that ends them."""

    def __init__(self) -> None:
        super().__init__()
        self._records: list[Record] = []

    def set_result(self, message: Msg) -> None:
        """Take a message; the one that ends the batch is the result."""
        headers = message.headers or {}
        if _STATUS in headers:
            super().set_result(message)
            return
        number, sequence = headers.get(INDEX, ""), headers.get(_SEQUENCE, "")
        if number.isdecimal() and sequence.isdecimal():
            self._records.append(Record(int(number), int(sequence), message.data))

    @property
    def following(self) -> Following | None:
        """What has come; None if nobody has answered."""
        answered = self.done() and not self.cancelled() and self.exception() is None
        headers = (self.result().headers or {}) if answered else {}
        status = headers.get(_STATUS)
        if self._records or status in _ENDS:
            return Following(self._records, status in _ENDS and headers.get(_LEFT, "0") == "0")
        return None


class Run:
    """Consecutive records that have a number of bytes together at most, but for the first.

    Attributes:
        records: what they hold.
        number: the number of the next record.
        place: where the next record is looked for, by its sequence number.
        room: how many bytes may still come.
    """

    def __init__(self, first: Record, max_bytes: int) -> None:
        self.records = [first.data]
        self.number = first.number + 1
        self.place = first.sequence + 1
        self.room = max_bytes - len(first.data)

    @property
    def is_open(self) -> bool:
        """Another record may fit: records are of much the same size."""
        return self.room >= len(self.records[-1])

    @property
    def may_come(self) -> int:
        """How many more records of the last one's size fit, at least 1."""
        return max(1, self.room // max(1, len(self.records[-1])))

    def add(self, record: Record) -> bool:
        """Add a record if it is the next one and fits; tell whether it was added."""
        if record.number != self.number or len(record.data) > self.room:
            return False
        self.records.append(record.data)
        self.number += 1
        self.place = record.sequence + 1
        self.room -= len(record.data)
        return True
