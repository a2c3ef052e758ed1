"""Open the backend that the command names: by a URL, or by a function."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from functools import partial
from importlib import import_module
from operator import attrgetter
from typing import TYPE_CHECKING

from resumable_stream import find_opener
from resumable_stream._registry import without_secrets
from resumable_stream.errors import BackendLookupError, UnknownSchemeError

if TYPE_CHECKING:
    from resumable_stream.ports import Backend

Opener = Callable[[], "Backend | Awaitable[Backend]"]

_FACTORY = re.compile(r"(?P<module>\w+(?:\.\w+)*):(?P<name>\w+(?:\.\w+)*)")


def opener_of(place: str) -> Opener:
    """Return a function that opens the backend at ``place``, a URL or ``module:factory``.

    Raises:
        BackendLookupError: there is no such backend, or no such function.
    """
    if "://" in place:
        return partial(find_opener(place), place)
    parts = _FACTORY.fullmatch(place)
    if parts is None:
        raise UnknownSchemeError(
            f"{without_secrets(place)!r} is neither a URL, such as 'redis://localhost:6379', "
            "nor a function that opens a backend, such as 'my_backend:open_backend'"
        )
    try:
        module = import_module(parts["module"])
    except ImportError as error:
        raise BackendLookupError(
            f"{parts['module']!r} cannot be imported: {error}; the module must lie in this "
            "directory, or be installed"
        ) from error
    try:
        opener = attrgetter(parts["name"])(module)
    except AttributeError as error:
        raise BackendLookupError(f"module {parts['module']!r} has no {parts['name']!r}") from error
    if not callable(opener):
        raise BackendLookupError(
            f"{place!r} is of type {type(opener).__name__}: name a function without arguments "
            "that opens a backend"
        )
    return opener  # type: ignore[no-any-return] # what it returns is checked when it is called


async def open_at(place: str) -> Backend:
    """Open one more backend at ``place``."""
    opened = opener_of(place)()
    return await opened if isinstance(opened, Awaitable) else opened
