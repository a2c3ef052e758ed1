"""What every backend says in the same words, and errors that several callers wait for."""

from __future__ import annotations

from copy import copy
from typing import TypeVar

from resumable_stream.errors import BackendError, BackendUnavailableError

E = TypeVar("E", bound=BackendError)

PROGRAM_ERRORS = (AttributeError, NameError, NotImplementedError, TypeError)
"""What only a mistake in a program raises; ValueError, say, may come from outside, too."""


def caused(error: E, cause: BaseException | None) -> E:
    """Give the error its ``__cause__``, and return it."""
    error.__cause__ = cause
    return error


def again(error: E) -> E:
    """Copy an error for one more caller, since each needs a traceback of its own."""
    return caused(copy(error), error.__cause__)


def closed(backend: str) -> BackendUnavailableError:
    """Say that the backend was closed. ``backend`` is what users call it, such as ``Redis``."""
    return BackendUnavailableError(f"this {backend} backend was closed; open another one")


def ending(backend: str) -> BackendUnavailableError:
    """Say that the event loop is being shut down under the backend."""
    return BackendUnavailableError(
        f"the event loop is being shut down: close the {backend} backend, or its context, before"
    )
