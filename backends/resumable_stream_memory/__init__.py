"""The in-memory backend: ``memory://`` and ``memory://name``.

No dependency and no server. Backends of the same name in one process share one bus and are
otherwise independent instances: they meet only through keys and messages, as they would on a
broker, also from several event loops or threads. The bus and what is on it go when the last backend
or journal of that name is closed or forgotten.
"""

from __future__ import annotations

from resumable_stream_memory._backend import MemoryBackend, open_backend
from resumable_stream_memory._journal import MemoryJournal, open_journal

__all__ = ["MemoryBackend", "MemoryJournal", "open_backend", "open_journal"]
