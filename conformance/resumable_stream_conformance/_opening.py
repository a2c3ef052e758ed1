"""Open the backend or journal that the command names: by a URL, or by a function."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from functools import partial
from importlib import import_module
from operator import attrgetter
from typing import TYPE_CHECKING, cast

from resumable_stream._registry import find_journal_opener, find_opener, without_secrets
from resumable_stream.errors import BackendLookupError, UnknownSchemeError
from resumable_stream.journal import Journal
from resumable_stream.ports import Backend

if TYPE_CHECKING:
    from resumable_stream.journal import OpenedJournal

# What it returns is checked when it is called.
Opener = Callable[[], object]

_FACTORY = re.compile(r"(?P<module>\w+(?:\.\w+)*):(?P<name>\w+(?:\.\w+)*)")


def opener_of(place: str) -> Opener:
    """Return a function that opens what is at ``place``, a URL or ``module:factory``.

    A URL whose scheme is that of a backend opens the backend, even if a journal has it, too.

    Raises:
        BackendLookupError: there is no such backend or journal, or no such function.
    """
    if "://" in place:
        return partial(_opener_of_url(place), place)
    parts = _FACTORY.fullmatch(place)
    if parts is None:
        raise UnknownSchemeError(
            f"{without_secrets(place)!r} is neither a URL, such as 'redis://localhost:6379', nor "
            "a function that opens a backend or a journal, such as 'my_backend:open_backend'"
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
            "that opens a backend or a journal"
        )
    return cast("Opener", opener)


async def open_at(place: str) -> Backend | Journal:
    """Open what is at ``place`` once more.

    Raises:
        BackendLookupError: it is neither a backend nor a journal.
    """
    opened = opener_of(place)()
    if isinstance(opened, Awaitable):
        opened = await opened
    if not isinstance(opened, Backend | Journal):
        raise BackendLookupError(
            f"{without_secrets(place)!r} gave {type(opened).__name__}, which is no Backend and no "
            "Journal: it lacks methods that resumable_stream.ports or .journal lists"
        )
    return opened


async def open_backend_at(place: str) -> Backend:
    """Open the backend at ``place`` once more."""
    opened = await open_at(place)
    if not isinstance(opened, Backend):
        raise BackendLookupError(f"{without_secrets(place)!r} gave a journal, and no Backend")
    return opened


def _opener_of_url(url: str) -> Callable[[str], Backend | OpenedJournal]:
    try:
        return find_opener(url)
    except UnknownSchemeError as no_backend:
        try:
            return find_journal_opener(url)
        except UnknownSchemeError as no_journal:
            raise UnknownSchemeError(f"{no_backend}. And {no_journal}") from None
