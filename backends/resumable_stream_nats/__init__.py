"""The NATS backend: ``nats://`` and ``tls://``.

For nats-server 2.11 and newer with JetStream, alone or in a cluster, through nats-py (the extra
``nats``). Keys live in a JetStream key-value bucket, a journal in a stream beside it, and messages
go over core NATS. A backend opens one connection at the first use, however many streams and
listeners there are, or shares the client that it is given.
"""

from __future__ import annotations

from resumable_stream.adapter_kit import refuse_import
from resumable_stream_nats._versions import TESTED

try:
    from resumable_stream_nats._backend import NatsBackend, open_backend
    from resumable_stream_nats._journal import NatsJournal, open_journal
except (AttributeError, ImportError) as error:
    refuse_import(TESTED, error)
    raise

__all__ = ["NatsBackend", "NatsJournal", "open_backend", "open_journal"]
