"""The one place where redis-py's errors, and the server's error replies, become this library's."""

from __future__ import annotations

from redis import exceptions

from resumable_stream.adapter_kit import PROGRAM_ERRORS, caused
from resumable_stream.errors import (
    AccessDeniedError,
    BackendError,
    BackendFaultError,
    BackendUnavailableError,
    OutcomeUnknownError,
    WrongKeyTypeError,
)

# What users call the broker, in the messages of every backend.
BACKEND = "Redis"

# An error reply comes over a connection that works: the server refused the command and did
# nothing. redis-py derives some of these from its ConnectionError nevertheless.
REPLY_ERRORS = (
    exceptions.ResponseError,
    exceptions.BusyLoadingError,
    exceptions.AuthenticationError,
    exceptions.AuthorizationError,
)

# After one of these the connection may lead to the wrong server, or carry outdated credentials.
STALE_CONNECTION = (
    exceptions.ReadOnlyError,
    exceptions.MasterDownError,
    exceptions.AuthenticationError,
)

RIGHTS = (
    "get, set, del, eval, evalsha, publish, subscribe, unsubscribe and ping "
    "on the keys and channels that start with the context's key prefix "
    "(pubsub|numsub is optional, for TypeScript listeners that vanish)"
)

# Looked up along the bases of an error's class: the nearest entry wins.
_REMEDIES: dict[type[BaseException], str] = {
    exceptions.AuthenticationError: (
        "the server refused the credentials: check the user name and password"
    ),
    exceptions.AuthenticationWrongNumberOfArgsError: (
        "the server refused the credentials: check the user name and password"
    ),
    exceptions.NoPermissionError: f"the user lacks a right; it needs {RIGHTS}",
    exceptions.BusyLoadingError: "the server is still loading its data",
    exceptions.ReadOnlyError: "the server is a read-only replica: connect to the primary",
    exceptions.MasterDownError: "the server is a replica that has lost its primary",
    exceptions.ClusterDownError: "the cluster is down",
    exceptions.AskError: (
        "the server is a node of a cluster: pass RedisBackend(client=RedisCluster(...))"
    ),
    exceptions.OutOfMemoryError: "the server is out of memory and evicts nothing",
    exceptions.MaxConnectionsError: "too many connections",
}


def refused(error: BaseException) -> BackendUnavailableError:
    """Describe what was certainly not executed: it was refused, or there was no connection."""
    remedy = next((text for kind in type(error).__mro__ if (text := _REMEDIES.get(kind))), None)
    detail = str(error) or type(error).__name__
    denied = isinstance(error, exceptions.NoPermissionError)
    kind = AccessDeniedError if denied else BackendUnavailableError
    return caused(
        kind(
            f"Redis refused: {remedy} ({detail})" if remedy else f"Redis is unavailable: {detail}"
        ),
        error,
    )


def failed(error: BaseException) -> BackendError:
    """Describe why no connection came about: an outage, a refusal, or a mistake in a program."""
    if (bug := bug_in(error)) is not None:
        return caused(
            BackendFaultError(
                f"connecting to Redis failed by a mistake in a program, no outage: {bug!r}"
            ),
            bug,
        )
    return refused(error)


def bug_in(error: BaseException | None) -> BaseException | None:
    """Return the mistake in a program that caused the error, if any: redis-py wraps errors."""
    while error is not None and not isinstance(error, PROGRAM_ERRORS):
        error = error.__cause__
    return error


def is_wrong_type(error: BaseException) -> bool:
    # Older servers put the code into the middle of the text when a script meets it.
    return isinstance(error, exceptions.ResponseError) and "WRONGTYPE" in str(error)


def wrong_type(key: str, error: BaseException) -> WrongKeyTypeError:
    return caused(
        WrongKeyTypeError(
            f"key {key!r} holds no plain value: another program uses it; choose another key_prefix "
            f"({error})"
        ),
        error,
    )


def lost(error: BaseException, *, sent: bool, write: bool) -> BackendError:
    """Describe a call whose connection broke, or whose reply is overdue."""
    detail = str(error) or type(error).__name__
    if sent and write:
        return caused(
            OutcomeUnknownError(
                f"the connection to Redis failed after a command was sent: {detail}"
            ),
            error,
        )
    return caused(BackendUnavailableError(f"the connection to Redis failed: {detail}"), error)
