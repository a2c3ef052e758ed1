"""What a backend may be given, checked before anything is connected."""

from __future__ import annotations

from typing import TYPE_CHECKING

import redis
import redis.asyncio as aioredis
from redis.asyncio.sentinel import Sentinel

from resumable_stream.errors import InvalidSettingError

if TYPE_CHECKING:
    from collections.abc import Iterator

_CLIENTS = (aioredis.Redis, aioredis.RedisCluster)


def checked_url(url: object) -> str:
    if isinstance(url, str):
        return url
    remedy = "pass it as client=" if isinstance(url, _CLIENTS) else "pass text, or client="
    raise InvalidSettingError(f"the URL is {_shown(url)}: {remedy}")


def checked_client(client: object) -> aioredis.Redis | aioredis.RedisCluster:
    if any(module.partition(".")[0] == "fakeredis" for module in _modules(client)):
        raise InvalidSettingError(
            f"client= is {_shown(client)}, which has no server: for tests use the URL memory://"
        )
    if isinstance(client, _CLIENTS):
        return client
    raise InvalidSettingError(f"client= is {_shown(client)}: {_remedy(client)}")


def checked_timeout(timeout: object) -> float:
    if not isinstance(timeout, (int, float)) or not timeout > 0:
        raise InvalidSettingError(f"timeout {timeout!r:.80} must be a positive number of seconds")
    return timeout


def _remedy(client: object) -> str:
    ours = "redis.asyncio.Redis or redis.asyncio.RedisCluster"
    match client:
        case str():
            return "pass a URL as the first argument, or as client= a " + ours
        case type():
            return f"pass an object, a {ours}"
        case redis.Redis() | redis.RedisCluster():
            return f"it is not asynchronous: pass a {ours}"
        case Sentinel():
            return "pass what its master_for() returns"
        case aioredis.ConnectionPool():
            return "pass redis.asyncio.Redis(connection_pool=...)"
        case _:
            return f"pass a {ours}, or a URL as the first argument"


def _modules(client: object) -> Iterator[str]:
    """Name the modules of the client's classes, and of those that its connections have."""
    pool = getattr(client, "connection_pool", None)
    for kind in (client, pool, getattr(pool, "connection_class", None)):
        for base in (kind if isinstance(kind, type) else type(kind)).__mro__:
            yield base.__module__


def _shown(value: object) -> str:
    """Name the kind of a value that may hold a secret."""
    kind = value if isinstance(value, type) else type(value)
    return (
        f"{'the class' if isinstance(value, type) else 'a'} {kind.__module__}.{kind.__qualname__}"
    )
