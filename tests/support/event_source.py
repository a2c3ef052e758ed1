"""The client's side of server-sent events, by the letter of the WHATWG's HTML standard."""

from __future__ import annotations

import codecs
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

_LINE_END = re.compile(r"\r\n|\r|\n")


@dataclass(frozen=True)
class Event:
    """What a browser hands to a page."""

    event: str
    data: str
    id: str

    @property
    def json(self) -> Any:
        return json.loads(self.data)


class EventParser:
    """Turns bytes into events, however the bytes are cut.

    Attributes:
        last_event_id: what a browser sends back when it connects again.
        retry: the last retry time in milliseconds, or None.
        comments: how many comments came.
    """

    def __init__(self) -> None:
        self.last_event_id = ""
        self.retry: int | None = None
        self.comments = 0
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._text = ""
        self._begun = False
        self._data: list[str] = []
        self._event = ""
        self._id = ""

    def feed(self, block: bytes) -> list[Event]:
        self._text += self._decoder.decode(block)
        if self._text and not self._begun:
            self._begun = True
            self._text = self._text.removeprefix("\ufeff")
        events = []
        while match := _LINE_END.search(self._text):
            if match[0] == "\r" and match.end() == len(self._text):
                break  # Perhaps the first half of CRLF.
            line, self._text = self._text[: match.start()], self._text[match.end() :]
            if event := self._take(line):
                events.append(event)
        return events

    def _take(self, line: str) -> Event | None:
        if not line:
            return self._dispatch()
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match name:
            case "":
                self.comments += 1
            case "event":
                self._event = value
            case "data":
                self._data.append(value)
            case "id" if "\0" not in value:
                self._id = value
            case "retry" if value.isascii() and value.isdigit():
                self.retry = int(value)
        return None

    def _dispatch(self) -> Event | None:
        self.last_event_id = self._id
        data, event = self._data, self._event
        self._data, self._event = [], ""
        return Event(event or "message", "\n".join(data), self._id) if data else None


def events_of(blocks: Iterable[bytes]) -> list[Event]:
    parser = EventParser()
    return [event for block in blocks for event in parser.feed(block)]
