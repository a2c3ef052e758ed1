"""The limit on open files: each client is a socket of the server's and one of the client's."""

from __future__ import annotations

import resource

# Connections to the broker, the event loop's own, and what Python has open.
_OTHERS = 100


def allow_connections(count: int) -> None:
    """Raise this process's limit as far as the machine allows.

    Raises:
        OSError: the machine does not allow that many.
    """
    wanted = count + _OTHERS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        if hard != resource.RLIM_INFINITY and hard < wanted:
            raise OSError(f"{count} connections need `ulimit -n {wanted}`; the limit is {hard}")
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
