"""The one place where redis-py's errors, and the server's error replies, become this library's."""

from __future__ import annotations

from redis import exceptions

from resumable_stream.adapter_kit import PROGRAM_ERRORS, caused
from resumable_stream.errors import (
    AccessDeniedError,
    BackendError,
    BackendFaultError,
    BackendUnavailableError,
    JournalFullError,
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

JOURNAL_RIGHTS = (
    "eval, evalsha, xadd, xlen, xrange, xrevrange, pttl, expire and del "
    "on the keys that start with the context's key prefix (~resumable-stream:rs:* by default)"
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
        "the server is a node of a cluster: pass client=RedisCluster(...) instead of a URL"
    ),
    exceptions.OutOfMemoryError: "the server is out of memory and evicts nothing",
    exceptions.MaxConnectionsError: "too many connections",
}


# How servers say of a command in a script what they say by a code of a command alone. Redis before
# 7.0 puts the code into the middle of the text; no server gives one for a missing right.
_IN_SCRIPTS: dict[str, type[exceptions.ResponseError]] = {
    "-OOM ": exceptions.OutOfMemoryError,
    "-READONLY ": exceptions.ReadOnlyError,
    "ACL failure in script": exceptions.NoPermissionError,
    "The user executing the script can't": exceptions.NoPermissionError,
}


def outside_script(error: Exception) -> Exception:
    """Return the error of a command in a script as that of the same command outside of one."""
    if type(error) is exceptions.ResponseError:
        detail = str(error)
        for sign, kind in _IN_SCRIPTS.items():
            if sign in detail:
                return kind(detail)
    return error


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


def log_refused(log: str, error: BaseException) -> BackendError:
    """Describe the server's refusal of a command about a log; nothing was written."""
    if is_wrong_type(error):
        return caused(
            WrongKeyTypeError(
                f"the key of log {log!r} holds no log: another program uses it; choose another "
                f"key_prefix ({error})"
            ),
            error,
        )
    if isinstance(error, exceptions.OutOfMemoryError):
        return caused(
            JournalFullError(
                "Redis has no room for the record: its memory has reached maxmemory, and its "
                "maxmemory-policy finds nothing to evict; raise maxmemory, or keep text for a "
                f"shorter time ({error})"
            ),
            error,
        )
    if isinstance(error, exceptions.NoPermissionError):
        return caused(
            AccessDeniedError(
                f"Redis refused: the user lacks a right to log {log!r}; it needs {JOURNAL_RIGHTS} "
                f"({error})"
            ),
            error,
        )
    return refused(error)


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
