"""One server-sent event as text, by the rules of the WHATWG's HTML standard.

The fields of an event are lines. Only LF, CR and CRLF end a line: U+2028 and the other separators
that ``str.splitlines`` knows are ordinary text.
"""

from __future__ import annotations

import dataclasses
import json
import re
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from resumable_stream._source import Source, check_source
from resumable_stream._text.utf8 import is_encodable

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable

_LINE_END = re.compile(r"\r\n|\r|\n")


@dataclasses.dataclass(frozen=True, slots=True)
class ServerSentEvent:
    """An event with more than data. It has no id: the stream gives each event its id.

    Attributes:
        data: text is sent as it is, anything else as JSON. None sends no data; a browser then
            dispatches no event.
        event: the event's name, without line ends; if None, a browser takes ``"message"``.
        retry: how many milliseconds the client should wait before it connects again.
        comment: text that clients ignore.
    """

    data: object = None
    event: str | None = None
    retry: int | None = None
    comment: str | None = None


@runtime_checkable
class _EventLike(Protocol):
    """The events of this module, of sse-starlette and of FastAPI."""

    @property
    def data(self) -> object: ...
    @property
    def event(self) -> str | None: ...
    @property
    def retry(self) -> int | None: ...
    @property
    def comment(self) -> str | None: ...


def encode_event(item: object) -> str:
    """Return a complete event, with the empty line that ends it.

    Args:
        item: text, which becomes the event's data; a ``ServerSentEvent``, of this module,
            sse-starlette or FastAPI; or anything else that JSON can express, dataclasses and
            pydantic models included.

    Raises:
        ValueError: the event's name has a line end, ``retry`` is negative, the event has an id, or
            a number is not JSON (NaN or infinite).
        TypeError: JSON cannot express the item.
    """
    if isinstance(item, str):
        return f"{_data_lines(item)}\n"
    # To look for an event's attributes takes twenty times as long.
    if not isinstance(item, ServerSentEvent) and not isinstance(item, _EventLike):
        return f"{_data_lines(to_json(item))}\n"
    if getattr(item, "id", None) is not None:
        raise ValueError("an event has an id: leave it out, the stream gives each event its own")
    fields = []
    if item.comment is not None:
        fields += [f": {line}\n" for line in _LINE_END.split(item.comment)]
    if item.event is not None:
        if _LINE_END.search(item.event):
            raise ValueError(f"event name {item.event!r:.80} has a line end: leave it out")
        fields.append(f"event: {item.event}\n")
    if item.retry is not None:
        if item.retry < 0:
            raise ValueError(f"retry {item.retry} is negative: pass milliseconds")
        fields.append(f"retry: {item.retry:d}\n")
    if (data := _data_of(item)) is not None:
        fields.append(_data_lines(data))
    return f"{''.join(fields)}\n"


def as_events(
    make_events: Callable[[], AsyncIterable[object] | Awaitable[AsyncIterable[object]]],
) -> Callable[[], AsyncIterator[str]]:
    """Return the source of events as a ``make_stream`` in which each chunk is one whole event.

    A resumed reader sees the source's own chunks, so it gets the very same events. Answer with
    ``chunks=EVENTS``.

    Args:
        make_events: like ``make_stream``, but it yields what ``encode_event`` takes.

    Raises:
        InvalidSourceError: as for ``make_stream``.
    """
    check_source(make_events)

    async def make_stream() -> AsyncIterator[str]:
        async with Source(make_events) as events:
            async for event in events:
                yield encode_event(event)

    return make_stream


def _data_lines(text: str) -> str:
    """Return the data field; the client gets the text back, with LF for each CR and CRLF."""
    if "\n" not in text and "\r" not in text:
        return f"data: {text}\n"
    return "".join([f"data: {line}\n" for line in _LINE_END.split(text)])


def to_json(value: object) -> str:
    """Return one line of JSON. Lone surrogates are escaped, so that they survive UTF-8."""
    text = _JSON.encode(value)
    return text if is_encodable(text) else _ASCII_JSON.encode(value)


def _plain(value: Any) -> object:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    raise TypeError(f"{type(value).__name__} cannot be sent as JSON: yield a dict or a str")


_JSON, _ASCII_JSON = (
    json.JSONEncoder(
        ensure_ascii=ascii_only, allow_nan=False, separators=(",", ":"), default=_plain
    )
    for ascii_only in (False, True)
)


def _data_of(item: _EventLike) -> str | None:
    if hasattr(item, "raw_data"):
        # An event of FastAPI, which sends text in ``data`` as JSON, too.
        if item.raw_data is not None:
            return str(item.raw_data)
        return None if item.data is None else to_json(item.data)
    if item.data is None or isinstance(item.data, str):
        return item.data
    return to_json(item.data)
