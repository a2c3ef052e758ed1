"""The call with which every application begins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from resumable_stream._arguments import check_on_end
from resumable_stream._context import ResumableStreamContext
from resumable_stream._journals import check_journal, journal_source
from resumable_stream._options import Options
from resumable_stream._protocol.names import Names
from resumable_stream._registry import find_opener, url_from_environment
from resumable_stream.errors import InvalidSettingError
from resumable_stream.ports import Backend

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from resumable_stream._stream_end import OnEnd
    from resumable_stream.journal import Journal


def create_resumable_stream_context(
    url: str | None = None,
    *,
    redis_url: str | None = None,
    backend: Backend | None = None,
    journal: Journal | str | None = None,
    key_prefix: str = "resumable-stream",
    wait_until: Callable[[Awaitable[None]], object] | None = None,
    on_end: OnEnd | None = None,
    options: Options | None = None,
) -> ResumableStreamContext:
    """Create a context. It opens no connection and needs no event loop, so module level is fine.

    Args:
        url: the backend, by its scheme: ``redis://…``, ``memory://``. Without ``url``,
            ``redis_url`` and ``backend``, the environment's ``REDIS_URL`` counts, then ``KV_URL``.
        redis_url: the same as ``url``.
        backend: a backend of your own, which you close yourself.
        journal: where text is kept, if not with the backend: a URL, by its scheme, such as
            ``sqlite:///answers.db``, or a journal of your own, which you close yourself.
        key_prefix: what every key and channel starts with: 1 to 128 characters without ``:rs:``.
        wait_until: called at each start with an awaitable that is done when the stream's background
            work is done; for serverless platforms that must know of such work.
        on_end: called with the ``StreamEnd`` of every stream that this context produces, unless the
            call that starts the stream passes its own; see ``resumable_stream``.
        options: times and limits, if the defaults do not fit.

    Raises:
        NoBackendError: there is no URL, and the environment names none.
        UnknownSchemeError, DuplicateSchemeError, MissingDriverError, UnsupportedDriverError: the
            URL opens no backend.
        InvalidSettingError: a setting has the wrong type, the prefix is invalid, or more than one
            backend is given.
    """
    _check(url, redis_url, backend, key_prefix, wait_until, options)
    check_on_end(on_end)
    if sum(given is not None for given in (url, redis_url, backend)) > 1:
        raise InvalidSettingError("pass one of url, redis_url and backend, not several")
    names, options = Names.under(key_prefix), options or Options()
    journals = journal_source(journal)
    if backend is not None:
        own = backend
        return ResumableStreamContext(
            names,
            options,
            lambda: check_journal(own, journals, options),
            owns_backend=False,
            journals=journals,
            wait_until=wait_until,
            on_end=on_end,
        )
    target = url or redis_url or url_from_environment()
    opener = find_opener(target)
    return ResumableStreamContext(
        names,
        options,
        lambda: check_journal(opener(target), journals, options),
        owns_backend=True,
        journals=journals,
        wait_until=wait_until,
        on_end=on_end,
    )


def _check(
    url: object,
    redis_url: object,
    backend: object,
    key_prefix: object,
    wait_until: object,
    options: object,
) -> None:
    """Refuse settings of the wrong type now, and not at their first use."""
    for name, value in (("url", url), ("redis_url", redis_url)):
        if value is not None and not isinstance(value, str):
            remedy = _remedy_for(value) or "pass text, such as 'redis://localhost:6379'"
            raise InvalidSettingError(f"{name} is {_kind(value)}: {remedy}")
    if backend is not None and (isinstance(backend, type) or not isinstance(backend, Backend)):
        remedy = _remedy_for(backend) or "pass an object with the methods of Backend, or a url"
        raise InvalidSettingError(f"backend is {_kind(backend)}: {remedy}")
    if not isinstance(key_prefix, str):
        raise InvalidSettingError(f"key_prefix is {_kind(key_prefix)}: pass text")
    if wait_until is not None and not callable(wait_until):
        raise InvalidSettingError(
            f"wait_until is {_kind(wait_until)}, which cannot be called: "
            "pass a function that takes an awaitable"
        )
    if options is not None and not isinstance(options, Options):
        raise InvalidSettingError(
            f"options is {_kind(options)}: pass resumable_stream.Options(...), by its names"
        )


def _remedy_for(value: object) -> str | None:
    """Say what to do with a broker's client that was passed in place of a backend."""
    kind = value if isinstance(value, type) else type(value)
    match kind.__module__.partition(".")[0]:
        case "fakeredis":
            return "for tests use the url 'memory://'"
        case "redis" | "valkey":
            return (
                "pass backend=RedisBackend(client=...), from resumable_stream_redis, "
                "with a client of redis.asyncio, or its url"
            )
        case "nats":
            return "pass backend=NatsBackend(client=...), from resumable_stream_nats, or its url"
        case _:
            return None


def _kind(value: object) -> str:
    kind = value if isinstance(value, type) else type(value)
    return f"{'the class ' if isinstance(value, type) else 'a '}{kind.__module__}.{kind.__name__}"
