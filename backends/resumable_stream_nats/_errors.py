"""The one place where nats-py's errors, and the server's refusals, become this library's."""

from __future__ import annotations

import re
import ssl
from typing import TYPE_CHECKING

import nats.errors
from nats.js import errors as js_errors

from resumable_stream.adapter_kit import PROGRAM_ERRORS, caused
from resumable_stream.errors import (
    AccessDeniedError,
    BackendError,
    BackendFaultError,
    BackendUnavailableError,
    JournalFullError,
    OutcomeUnknownError,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

# What users call the broker, in the messages of every backend.
BACKEND = "NATS"

RIGHTS = (
    "to publish and subscribe below the context's key prefix, to publish to the bucket's subjects "
    "and to $JS.API.STREAM.INFO, .CREATE, .UPDATE and .MSG.GET of its stream, and to subscribe to "
    "its inbox; for a journal, to publish to the same of its own stream, and to .PURGE"
)

_CREDENTIALS = "the server refused the credentials: check user, password, token or credentials file"
_JETSTREAM = (
    "JetStream does not answer: enable it on the server (nats-server -js) and for this account, "
    "check the domain if one is set, or wait until its cluster has a leader"
)

# JetStream's own error codes: they tell apart what its HTTP-like codes do not.
STREAM_NOT_FOUND = 10059
NAME_IN_USE = 10058
_NO_META_LEADER = 10008
_NO_PEERS = 10005
WRONG_LAST_SEQUENCE = frozenset({10071, 10164})
_JETSTREAM_OFF = frozenset({10039, 10076})

# Why a stream cannot be created, and what an operator can do.
_UNCREATED: dict[int | None, str] = {
    10027: "the account may have no more streams: raise max_streams of its JetStream limits",
    10113: "the account wants a stream to have max_bytes: create it beforehand",
}

# Why a stream takes no more, and the limit that an operator can raise.
_FULL = (
    ("maximum bytes", "max_bytes of its stream"),
    ("maximum messages", "max_msgs of its stream"),
    ("resource limits exceeded", "max_file or max_mem of the account's JetStream limits"),
    ("insufficient storage", "max_file_store of the server's JetStream"),
    ("insufficient memory", "max_memory_store of the server's JetStream"),
    ("insufficient resources", "max_file_store or max_memory_store of the server's JetStream"),
    ("no space left", "the space on the server's disk"),
)

_VIOLATION = re.compile(r'permissions violation for (publish|subscription) to "([^"]*)"')


class DeniedError(nats.errors.Error):
    """The server denied a subject. It reports so by itself, not as an answer.

    Attributes:
        kind: ``publish`` or ``subscription``.
        subject: in small letters, as nats-py passes it on.
    """

    def __init__(self, kind: str, subject: str) -> None:
        super().__init__(f'permissions violation for {kind} to "{subject}"')
        self.kind = kind
        self.subject = subject


class LineLostError(nats.errors.Error):
    """The connection broke or fell silent before the answer came."""


class UnusableError(Exception):
    """The server, the bucket or the client cannot serve as it is set up."""


def denial_in(error: Exception) -> DeniedError | None:
    """Return what was denied, if that is what the error tells."""
    found = _VIOLATION.search(str(error).lower())
    return DeniedError(*found.groups()) if found else None


def refused(error: BaseException) -> BackendUnavailableError:
    """Describe what was certainly not executed: it was refused, or there was no connection."""
    detail = str(error) or type(error).__name__
    remedy = _remedy(error, detail.lower())
    kind = AccessDeniedError if isinstance(error, DeniedError) else BackendUnavailableError
    return caused(
        kind(f"NATS refused: {remedy} ({detail})" if remedy else f"NATS is unavailable: {detail}"),
        error,
    )


def failed(error: BaseException) -> BackendError:
    """Describe why no connection came about: an outage, a refusal, or a mistake in a program."""
    if not isinstance(error, PROGRAM_ERRORS):
        return refused(error)
    return caused(
        BackendFaultError(
            f"connecting to NATS failed by a mistake in a program, no outage: {error!r}"
        ),
        error,
    )


def lost(error: BaseException, *, write: bool) -> BackendError:
    """Describe a call whose connection broke, or whose answer is overdue."""
    detail = str(error) or type(error).__name__
    if write:
        return caused(
            OutcomeUnknownError(f"NATS has not answered what was sent to it: {detail}"), error
        )
    return caused(BackendUnavailableError(f"the connection to NATS failed: {detail}"), error)


def unusable(what: str) -> BackendUnavailableError:
    """Describe a server or a bucket that cannot hold the contract."""
    return caused(BackendUnavailableError(f"NATS cannot be used: {what}"), UnusableError(what))


def full(error: js_errors.APIError) -> JournalFullError | None:
    """Describe that a journal has no room, if that is what the error tells."""
    detail = str(error.description)
    for sign, limit in _FULL:
        if sign in detail.lower():
            return caused(
                JournalFullError(
                    f"the NATS journal is full: raise {limit}, or keep streams for a shorter time "
                    f"({detail})"
                ),
                error,
            )
    return None


def is_final(error: BackendError) -> bool:
    """Tell whether a connection was refused for a reason that time alone does not heal."""
    cause = error.__cause__
    if isinstance(cause, (UnusableError, ssl.SSLCertVerificationError, *PROGRAM_ERRORS)):
        return True
    return cause is not None and _remedy(cause, str(cause).lower()) is not None


def code_of(error: BaseException) -> int | None:
    """Return JetStream's own code; some errors of nats-py have none."""
    return getattr(error, "err_code", None) if isinstance(error, js_errors.APIError) else None


def has_code(error: BaseException, codes: Iterable[int]) -> bool:
    return code_of(error) in set(codes)


def is_passing(error: js_errors.Error) -> bool:
    """Tell whether a cluster refuses because its nodes have not met yet, or one is restarted."""
    # Each reason for having no node to place a stream on has the same code.
    return has_code(error, {_NO_META_LEADER}) or (
        has_code(error, {_NO_PEERS}) and "peer offline" in str(error)
    )


def _remedy(error: BaseException, detail: str) -> str | None:
    if isinstance(error, DeniedError):
        return f"the user lacks a right; it needs {RIGHTS}"
    if (remedy := _UNCREATED.get(code_of(error))) is not None:
        return remedy
    if isinstance(error, js_errors.NoStreamResponseError):
        return "the stream is gone or has no leader"
    if isinstance(error, js_errors.ServiceUnavailableError) and (
        error.err_code is None or error.err_code in _JETSTREAM_OFF
    ):
        return _JETSTREAM
    if isinstance(error, nats.errors.AuthorizationError) or "authorization violation" in detail:
        return _CREDENTIALS
    if isinstance(error, nats.errors.SecureConnWantedError):
        return "a tls:// URL, but the server does not ask for TLS: configure its tls block"
    return None
