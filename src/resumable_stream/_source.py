"""The source of a stream's text: what the caller's ``make_stream`` returns."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable
from types import CodeType
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from resumable_stream.errors import InvalidSourceError

if TYPE_CHECKING:
    from resumable_stream._text.log import Log

MakeStream = Callable[[], AsyncIterable[str] | Awaitable[AsyncIterable[str]]]

Item = TypeVar("Item")

# After this many seconds a source that never waits yields to the event loop.
_MAX_HOLD = 0.0005
_CHECK_HOLD_EVERY = 32

_FROM_THREADS = (
    "make it an async generator function, and call what blocks with asyncio.to_thread inside it"
)
_FROM_MANAGER = (
    "enter it inside an async generator function: "
    "async with ... as chunks: async for chunk in chunks: yield chunk"
)


@contextlib.asynccontextmanager
async def _managed() -> AsyncIterator[None]:
    yield


# Every function that ``asynccontextmanager`` has decorated runs this code.
_MANAGER_CODE: object = getattr(_managed, "__code__", None)


def check_source(make_stream: object) -> None:
    """Refuse an invalid ``make_stream``, if that can be seen without calling it.

    Raises:
        InvalidSourceError: it is not callable, or returns something other than an async iterable.
    """
    if inspect.iscoroutine(make_stream):
        make_stream.close()  # nobody will await it
        raise InvalidSourceError(
            "make_stream is a coroutine: pass the async function itself, without calling it, "
            "or a lambda that calls it"
        )
    code = _code_of(make_stream)
    if isinstance(code, CodeType) and code.co_flags & inspect.CO_ASYNC_GENERATOR:
        return  # what most programs pass
    if _is_manager(make_stream) or code is _MANAGER_CODE:
        raise InvalidSourceError(f"make_stream gives an async context manager: {_FROM_MANAGER}")
    if not callable(make_stream):
        raise InvalidSourceError(
            f"make_stream is {type(make_stream).__name__}, which cannot be called: "
            "pass the async generator function itself, not what it returns"
        )
    if _calls(make_stream, inspect.isgeneratorfunction):
        raise InvalidSourceError(f"make_stream is a sync generator function: {_FROM_THREADS}")


def _check_chunk(chunk: object) -> None:
    """Refuse a chunk that is not text.

    Raises:
        InvalidSourceError: the chunk is not text; the message says how to make text of it.
    """
    kind = type(chunk).__name__
    if isinstance(chunk, bytes | bytearray | memoryview):
        remedy = "yield str, such as chunk.decode()"
    elif chunk is None:
        remedy = "yield only when there is text"
    elif isinstance(chunk, dict | list):
        remedy = "yield str, such as json.dumps(chunk), or wrap the source in sse.as_events"
    else:
        remedy = "yield the text of it, a str, or wrap the source in sse.as_events"
    raise InvalidSourceError(f"the source yielded {kind}: {remedy}")


async def fill(log: Log, chunks: AsyncIterator[str]) -> None:
    """Append the chunks to the log, until they end or the log is finished.

    Raises:
        InvalidSourceError: a chunk is not text.
    """
    clock = asyncio.get_running_loop().time
    resumed, unchecked = clock(), _CHECK_HOLD_EVERY
    async for chunk in chunks:
        if log.ending is not None:
            return
        if not isinstance(chunk, str):
            _check_chunk(chunk)
        log.append(chunk)
        unchecked -= 1
        if not unchecked:
            unchecked = _CHECK_HOLD_EVERY
            if clock() - resumed > _MAX_HOLD:
                await asyncio.sleep(0)
                resumed = clock()


class Source(Generic[Item]):
    """The source as an async iterator that is closed on every path."""

    def __init__(
        self, make_stream: Callable[[], AsyncIterable[Item] | Awaitable[AsyncIterable[Item]]]
    ) -> None:
        self._make_stream = make_stream
        self._iterator: AsyncIterator[Item] | None = None

    async def __aenter__(self) -> AsyncIterator[Item]:
        made: Any = self._make_stream()
        if inspect.isawaitable(made):
            made = await made
        if not isinstance(made, AsyncIterable):
            raise InvalidSourceError(
                f"make_stream returned {type(made).__name__}: {_remedy_for(made)}"
            )
        self._iterator = aiter(made)
        return self._iterator

    async def __aexit__(self, *_: object) -> None:
        aclose = getattr(self._iterator, "aclose", None)
        if aclose is not None:
            await aclose()


def _remedy_for(made: object) -> str:
    if _is_manager(made):
        return _FROM_MANAGER
    if isinstance(made, Iterable) and not isinstance(made, str | bytes):
        return _FROM_THREADS
    return "make it an async generator function, or let it return an async iterable of str"


def _is_manager(value: object) -> bool:
    return hasattr(value, "__aenter__") and not isinstance(value, type | AsyncIterable)


def _calls(function: object, test: Callable[[object], bool]) -> bool:
    """Tell whether a function, or the ``__call__`` of an object, passes the test."""
    while isinstance(function, functools.partial):
        function = function.func
    return test(function) or test(getattr(function, "__call__", None))  # noqa: B004 - its kind


def _code_of(function: object) -> object:
    while isinstance(function, functools.partial):
        function = function.func
    return getattr(function, "__code__", None)
