"""Find a backend or a journal by its URL's scheme, through entry points, one at a time."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple, cast

from resumable_stream.errors import (
    DuplicateSchemeError,
    MissingDriverError,
    NoBackendError,
    UnknownSchemeError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from resumable_stream.journal import OpenedJournal
    from resumable_stream.ports import Backend

GROUP = "resumable_stream.backends"
JOURNAL_GROUP = "resumable_stream.journals"


class _Kind(NamedTuple):
    """What is looked for, for the messages."""

    group: str
    noun: str
    keyword: str
    examples: str


_BACKEND = _Kind(GROUP, "backend", "backend=", "'redis://' or 'memory://'")
_JOURNAL = _Kind(JOURNAL_GROUP, "journal", "journal=", "'sqlite:///answers.db' or 'memory://'")


def url_from_environment() -> str:
    """Return ``REDIS_URL``, else ``KV_URL``, as the TypeScript package does."""
    for name in ("REDIS_URL", "KV_URL"):
        if url := os.environ.get(name):
            return url
    raise NoBackendError(
        "no backend: pass url= (such as 'redis://localhost:6379' or 'memory://') or backend=, "
        "or set REDIS_URL or KV_URL in the environment"
    )


def find_opener(url: str) -> Callable[[str], Backend]:
    """Return the function that opens a backend for ``url``; import only that backend.

    Raises:
        UnknownSchemeError: no installed package registers a backend for the URL's scheme.
        DuplicateSchemeError: several packages do.
        MissingDriverError: the client library that the backend needs is not installed.
    """
    return cast("Callable[[str], Backend]", _load(url, _BACKEND))


def find_journal_opener(url: str) -> Callable[[str], OpenedJournal]:
    """Return the function that opens a journal for ``url``; import only that journal.

    Raises:
        UnknownSchemeError: no installed package registers a journal for the URL's scheme.
        DuplicateSchemeError: several packages do.
        MissingDriverError: the client library that the journal needs is not installed.
    """
    return cast("Callable[[str], OpenedJournal]", _load(url, _JOURNAL))


def _load(url: str, kind: _Kind) -> object:
    # Imported here: this import takes longer than all others of this package together.
    from importlib.metadata import entry_points  # noqa: PLC0415

    scheme, separator, _ = url.partition("://")
    if not separator or not scheme:
        raise UnknownSchemeError(
            f"{without_secrets(url)!r} is not a {kind.noun} URL: it must start with a scheme, "
            f"such as {kind.examples}"
        )
    scheme = scheme.lower()
    found = {point.value: point for point in entry_points(group=kind.group, name=scheme)}
    if not found:
        known = ", ".join(sorted({f"{point.name}://" for point in entry_points(group=kind.group)}))
        raise UnknownSchemeError(
            f"no installed {kind.noun} handles '{scheme}://'; there are {known or 'none at all'}. "
            f"Correct the URL, or install the package that provides this {kind.noun}"
        )
    if len(found) > 1:
        sources = " and ".join(
            sorted(
                f"{value} (of {point.dist.name if point.dist else 'an unknown package'})"
                for value, point in found.items()
            )
        )
        raise DuplicateSchemeError(
            f"'{scheme}://' is registered by {sources}: uninstall all but one, "
            f"or pass the {kind.noun} you mean as {kind.keyword}"
        )
    (point,) = found.values()
    try:
        return cast("object", point.load())
    except ImportError as error:
        extra = f"resumable-stream[{point.extras[0]}]" if point.extras else error.name or point.name
        raise MissingDriverError(
            f"the {kind.noun} for '{scheme}://' needs {error.name or 'a package'!r}, which is not "
            f"installed; run: pip install '{extra}'"
        ) from error


def without_secrets(url: str) -> str:
    """Return the URL without user, password and query, so that it may be shown."""
    scheme, separator, rest = url.partition("://") if "://" in url else ("", "", url)
    return f"{scheme}{separator}{rest.rpartition('@')[2].partition('?')[0]}"
