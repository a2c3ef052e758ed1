"""What a backend may be given, checked before anything is connected."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import redis
import redis.asyncio as aioredis
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff

from resumable_stream.errors import InvalidSettingError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Where a connection leads, as whom, and how it is brought up.
PASSED_ON = frozenset(
    {
        "client_name",
        "credential_provider",
        "db",
        "driver_info",
        "encoder_class",
        "host",
        "lib_name",
        "lib_version",
        "parser_class",
        "password",
        "path",
        "port",
        "redis_connect_func",
        "socket_connect_timeout",
        "socket_keepalive",
        "socket_keepalive_options",
        "socket_read_size",
        "socket_timeout",
        "socket_type",
        "ssl_ca_certs",
        "ssl_ca_data",
        "ssl_ca_path",
        "ssl_cert_reqs",
        "ssl_certfile",
        "ssl_check_hostname",
        "ssl_ciphers",
        "ssl_exclude_verify_flags",
        "ssl_include_verify_flags",
        "ssl_keyfile",
        "ssl_min_version",
        "ssl_password",
        "username",
    }
)

# What pools and clients do: wait, repeat commands, reconnect, convert replies, or speak RESP3.
LEFT_OUT = frozenset(
    {
        "connection_pool",
        "event_dispatcher",
        "health_check_interval",
        "himport_registry",
        "legacy_responses",
        "maint_notifications_config",
        "maint_notifications_pool_handler",
        "maintenance_notification_hash",
        "maintenance_state",
        "max_connections",
        "orig_host_address",
        "orig_socket_connect_timeout",
        "orig_socket_timeout",
        "oss_cluster_maint_notifications_handler",
        "response_callbacks",
        "retry_on_error",
        "retry_on_timeout",
        "timeout",
    }
)

# The same for every connection of the backend.
OURS: dict[str, Any] = {
    "protocol": 2,
    "encoding": "utf-8",
    "encoding_errors": "strict",
    "decode_responses": False,
    "retry": Retry(NoBackoff(), 0),
}

_TIMEOUT = 5.0

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


def own_settings(connection_class: Callable[..., Any], theirs: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of the backend's own connections, from those of the user's.

    Raises:
        ValueError: there is one that this library does not know. Without it a connection might
            lead elsewhere, or be less safe.
    """
    unknown = theirs.keys() - PASSED_ON - LEFT_OUT - OURS.keys()
    # A class of the user's own knows its own settings.
    known_elsewhere = getattr(connection_class, "__module__", "").partition(".")[0] != "redis"
    refused = [
        name
        for name in sorted(unknown)
        if not known_elsewhere and not _is_default(connection_class, name, theirs[name])
    ]
    if refused:
        raise ValueError(
            f"there are settings that this version of resumable-stream does not know: "
            f"{', '.join(refused)}. Make it without them, or upgrade resumable-stream"
        )
    passed_on = PASSED_ON | unknown if known_elsewhere else PASSED_ON
    ours = {name: value for name, value in theirs.items() if name in passed_on} | OURS
    # None would wait for ever for a server that accepts and says nothing.
    for name in ("socket_timeout", "socket_connect_timeout"):
        if ours.get(name) is None:
            ours[name] = _TIMEOUT
    return ours


def _is_default(connection_class: Callable[..., Any], name: str, value: object) -> bool:
    """Tell whether a setting is what a class of redis-py takes anyway."""
    kinds = connection_class.__mro__ if isinstance(connection_class, type) else ()
    parameters = (inspect.signature(kind).parameters.get(name) for kind in kinds)
    return any(one is not None and one.default == value for one in parameters)


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
    """Yield the modules of the client's classes, and of its connections' classes."""
    pool = getattr(client, "connection_pool", None)
    for kind in (client, pool, getattr(pool, "connection_class", None)):
        for base in (kind if isinstance(kind, type) else type(kind)).__mro__:
            yield base.__module__


def _shown(value: object) -> str:
    """Return the type of a value, which may itself hold a secret."""
    kind = value if isinstance(value, type) else type(value)
    return (
        f"{'the class' if isinstance(value, type) else 'a'} {kind.__module__}.{kind.__qualname__}"
    )
