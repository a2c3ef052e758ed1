"""The server's names of keys and logs, which share one space of keys there."""

from __future__ import annotations

# At the end of a name: access rights and a cluster's hash tags go by what is before it.
_LOG = "~rs-log"
_KEY = "~rs-key"


def key_of(key: str) -> bytes:
    """Return the server's key of a key, the same text wherever it cannot be taken for a log's."""
    return (key + _KEY if key.endswith((_LOG, _KEY)) else key).encode()


def log_of(log: str) -> bytes:
    """Return the server's key of a log, which no key has."""
    return (log + _LOG).encode()
