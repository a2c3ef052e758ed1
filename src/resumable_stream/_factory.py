"""The one call that every application begins with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from resumable_stream._context import ResumableStreamContext
from resumable_stream._options import Options
from resumable_stream._registry import find_opener, url_from_environment
from resumable_stream._sentinel import Names
from resumable_stream.errors import InvalidSettingError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from resumable_stream.ports import Backend


def create_resumable_stream_context(
    url: str | None = None,
    *,
    redis_url: str | None = None,
    backend: Backend | None = None,
    key_prefix: str = "resumable-stream",
    wait_until: Callable[[Awaitable[None]], object] | None = None,
    options: Options | None = None,
) -> ResumableStreamContext:
    """Make a context. Connects nothing and needs no running event loop: fit for module level.

    Args:
        url: the backend, by its scheme: ``redis://…``, ``memory://``. With neither this nor
            ``redis_url`` nor ``backend``: the environment's ``REDIS_URL``, then ``KV_URL``.
        redis_url: the same as ``url``.
        backend: a backend of your own, which you close yourself.
        key_prefix: what every key and channel starts with: 1 to 128 characters without ``:rs:``.
        wait_until: called at each start with an awaitable that is done when the stream's background
            work is; for serverless platforms that must be told of it.
        options: times and limits, where the defaults do not fit.

    Raises:
        NoBackendError: there is no URL, and the environment names none.
        UnknownSchemeError, DuplicateSchemeError, MissingDriverError: the URL opens no backend.
        InvalidSettingError: an impossible prefix, or several backends at once.
    """
    if sum(given is not None for given in (url, redis_url, backend)) > 1:
        raise InvalidSettingError("pass one of url, redis_url and backend, not several")
    names, options = Names.under(key_prefix), options or Options()
    if backend is not None:
        own = backend
        return ResumableStreamContext(
            names, options, lambda: own, owns_backend=False, wait_until=wait_until
        )
    target = url or redis_url or url_from_environment()
    opener = find_opener(target)
    return ResumableStreamContext(
        names, options, lambda: opener(target), owns_backend=True, wait_until=wait_until
    )
