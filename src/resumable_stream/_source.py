"""Where the text of a stream comes from: whatever the caller's ``make_stream`` returns."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from typing import Any, Generic, TypeVar

from resumable_stream.errors import InvalidSourceError

MakeStream = Callable[[], AsyncIterable[str] | Awaitable[AsyncIterable[str]]]

Item = TypeVar("Item")


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
                f"make_stream returned {type(made).__name__}: make it an async generator function, "
                "or let it return an async iterable of str"
            )
        self._iterator = aiter(made)
        return self._iterator

    async def __aexit__(self, *_: object) -> None:
        aclose = getattr(self._iterator, "aclose", None)
        if aclose is not None:
            await aclose()
