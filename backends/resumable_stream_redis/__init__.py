"""The Redis backend: ``redis://``, ``rediss://``, ``unix://``, ``valkey://`` and ``valkeys://``.

For Redis 6.2 and newer and for Valkey, on one server, behind Sentinel or in a cluster. A backend
opens two connections of its own, however many streams and listeners there are: one for commands and
published messages, one for subscriptions (in a cluster, one more for each node that holds keys).
A journal opens up to two more. All open at the first use and close when idle.
"""

from __future__ import annotations

from resumable_stream.adapter_kit import refuse_import
from resumable_stream_redis._versions import TESTED

try:
    from resumable_stream_redis._backend import RedisBackend, open_backend
    from resumable_stream_redis._journal import RedisJournal, open_journal
except (AttributeError, ImportError) as error:
    refuse_import(TESTED, error)
    raise

__all__ = ["RedisBackend", "RedisJournal", "open_backend", "open_journal"]
