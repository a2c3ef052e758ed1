"""Parts for the author of a backend, each usable without the others.

The contract of a backend is in :mod:`resumable_stream.ports`; these parts are what ours have in
common beneath it. All of them belong to one event loop, and none imports a driver.

* :class:`LoopBound` makes a backend's parts at its first call, and keeps it to that event loop.
* :class:`Subscribers` knows who is subscribed to which :class:`Channel`, and tells each
  :class:`Subscriber` when it is ready, has lost messages, or has ended. :func:`deliver` and
  :func:`report_loss` call the handlers, :func:`call_safely` any other.
* :class:`Calls` keeps what a writer still has to send, in the order of the calls; a :class:`Call`
  is what one caller waits for, and may withdraw.
* :class:`Worker` runs the task that holds a connection, and begins it again while work is left.
  :class:`Backoff` gives it the pauses between attempts.
* :func:`stop`, :func:`heed_cancellation`, :func:`is_cut_off` and :func:`is_ending` deal with
  cancellations that a driver swallows, and with event loops that are being shut down.
* :func:`closed` and :func:`ending` are the errors that every backend says in the same words.
  :func:`caused` and :func:`again` make errors, :data:`PROGRAM_ERRORS` tells mistakes from outages.
* :class:`Tested` names the versions of a client library that a backend was tested with;
  :func:`check_versions`, :func:`check_inside` (with :func:`lacking`) and :func:`refuse_import`
  refuse others with one typed error.
"""

from __future__ import annotations

from resumable_stream._backoff import Backoff
from resumable_stream._drivers import (
    Tested,
    check_inside,
    check_versions,
    lacking,
    refuse_import,
)
from resumable_stream._loops import is_ending
from resumable_stream.adapter_kit._calls import Call, Calls
from resumable_stream.adapter_kit._errors import PROGRAM_ERRORS, again, caused, closed, ending
from resumable_stream.adapter_kit._loop_bound import LoopBound
from resumable_stream.adapter_kit._subscribers import (
    Channel,
    Subscriber,
    Subscribers,
    call_safely,
    deliver,
    report_loss,
)
from resumable_stream.adapter_kit._worker import Worker, heed_cancellation, is_cut_off, stop

__all__ = [
    "PROGRAM_ERRORS",
    "Backoff",
    "Call",
    "Calls",
    "Channel",
    "LoopBound",
    "Subscriber",
    "Subscribers",
    "Tested",
    "Worker",
    "again",
    "call_safely",
    "caused",
    "check_inside",
    "check_versions",
    "closed",
    "deliver",
    "ending",
    "heed_cancellation",
    "is_cut_off",
    "is_ending",
    "lacking",
    "refuse_import",
    "report_loss",
    "stop",
]
