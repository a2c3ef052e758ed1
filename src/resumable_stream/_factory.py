"""The one call that every application begins with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from resumable_stream._context import ResumableStreamContext, parse_unit
from resumable_stream._offsets import OffsetUnit
from resumable_stream._registry import find_opener, url_from_environment
from resumable_stream._settings import Settings
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
    lease: float = 15.0,
    handshake_timeout: float = 5.0,
    outage_timeout: float = 60.0,
    retention: float = 24 * 60 * 60,
    drain_timeout: float = 10.0,
    buffer_limit: int = 128 * 1024 * 1024,
    offset_unit: OffsetUnit | str = OffsetUnit.UTF16,
    disclose_errors: bool = True,
) -> ResumableStreamContext:
    """Make a context. Connects nothing and needs no running event loop: fit for module level.

    Args:
        url: the backend, by its scheme: ``redis://…``, ``memory://``. With neither this nor
            ``redis_url`` nor ``backend``: the environment's ``REDIS_URL``, then ``KV_URL``.
        redis_url: the same as ``url``.
        backend: a backend of your own, which you close yourself.
        key_prefix: what every key and channel starts with.
        wait_until: called at each start with an awaitable that is done when the stream's background
            work is; for serverless platforms that must be told of it.
        lease: seconds after which a dead producer's stream disappears; at least 1.
        handshake_timeout: seconds to wait for a producer that does not answer.
        outage_timeout: seconds without the broker after which a remote reader gives up.
        retention: seconds for which the end of a stream is remembered.
        drain_timeout: seconds that ``aclose`` lets running producers finish.
        buffer_limit: how much text of one stream is kept, in UTF-16 code units; the oldest is
            trimmed.
        offset_unit: what offsets count: ``"utf-16"`` code units, as the TypeScript package, or
            ``"code-points"``.
        disclose_errors: tell remote readers the type and message of a failed source's exception.

    Raises:
        NoBackendError: there is no URL, and the environment names none.
        UnknownSchemeError, DuplicateSchemeError, MissingDriverError: the URL opens no backend.
        InvalidSettingError: a setting outside its range, or several backends at once.
    """
    settings = Settings(
        key_prefix=key_prefix,
        lease=lease,
        handshake_timeout=handshake_timeout,
        outage_timeout=outage_timeout,
        retention=retention,
        drain_timeout=drain_timeout,
        buffer_limit=buffer_limit,
        offset_unit=parse_unit(offset_unit),
        disclose_errors=disclose_errors,
    )
    if sum(given is not None for given in (url, redis_url, backend)) > 1:
        raise InvalidSettingError("pass one of url, redis_url and backend, not several")
    if backend is not None:
        own = backend
        return ResumableStreamContext(
            settings, lambda: own, owns_backend=False, wait_until=wait_until
        )
    target = url or redis_url or url_from_environment()
    opener = find_opener(target)
    return ResumableStreamContext(
        settings, lambda: opener(target), owns_backend=True, wait_until=wait_until
    )
