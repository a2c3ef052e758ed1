"""Parts for the author of a backend. Nothing in the core needs them."""

from __future__ import annotations

from resumable_stream._backoff import Backoff
from resumable_stream._loops import is_ending
from resumable_stream.adapter_kit._worker import Worker, heed_cancellation, is_cut_off, stop

__all__ = [
    "Backoff",
    "Worker",
    "heed_cancellation",
    "is_cut_off",
    "is_ending",
    "stop",
]
