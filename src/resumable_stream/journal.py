"""The third port, through which the text of a stream is kept, and its whole contract.

A :class:`Journal` is optional. A backend that has one offers it as its attribute ``journal``; a
context can be given another one, so that text rests elsewhere than messages go. The core writes a
log for each producer's run of a stream, and reads one only for text that no living producer serves.

The rules named in brackets, such as [JN-1], are those of ``conformance/PROTOCOL.md``; the
conformance suite has a test for each. What :mod:`resumable_stream.ports` says of every method of a
backend holds here, too: event loop, first connection, bounded calls, cancellation, and that no
write is ever repeated by the adapter. [BE-1, BE-2, BE-5, BE-6]
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Journal", "OpenedJournal"]


@runtime_checkable
class Journal(Protocol):
    """Logs of records, numbered from 0, each of which expires.

    A log is any non-empty text of up to 1,024 characters that UTF-8 can encode, mapped injectively
    to the store's own names [JN-8]. A record is any sequence of bytes, the empty one included, and
    never changes until its log is deleted or expires [JN-3]. Each log is linearizable everywhere: a
    read that starts after an append has returned True sees that record [JN-4].
    """

    @property
    def max_record_size(self) -> int:
        """The most bytes one record may have, at least 65,536 [JN-6]."""
        ...

    async def append(self, log: str, index: int, record: bytes, *, ttl: int) -> bool:
        """Write record ``index`` only if there is none, in one atomic step.

        The core appends in order, one record at a time; ``index`` 0 begins a log. Of any number of
        concurrent appends of one index, on all adapters, exactly one returns True, and its record
        is there [JN-1]. An index that is taken is never written again [JN-3]; one that would leave
        a gap may be refused [JN-2]. Each record lives for ``ttl`` seconds at least, a whole
        number of at least 1, and the log is gone soon after that of its last record is over. The
        front may go before the rest, and so may the whole log be kept for as long as its last
        record [JN-7].

        Returns:
            Whether it was written. False means that nothing was, and that the index is taken or
            not the next one.

        Raises:
            RecordTooLargeError: the record exceeds ``max_record_size``; nothing was written.
            JournalFullError: the store has no room; nothing was written.
            BackendUnavailableError: the record was certainly not written.
            OutcomeUnknownError: the record may have been written.
        """
        ...

    async def read(self, log: str, index: int, *, max_bytes: int) -> Sequence[bytes] | None:
        """Return consecutive records from ``index`` on [JN-5].

        They are at most ``max_bytes`` together, except that a first record that is larger comes
        alone. At least one comes if it is there, and fewer may come than would fit. A read may run
        while the log is written to: it gives a prefix of what is there afterwards.

        Returns:
            The records; empty if ``index`` is not written yet, or the whole log is gone; None if
            the record is gone and a later one remains.

        Raises:
            BackendUnavailableError: nothing is known.
        """
        ...

    async def delete(self, log: str) -> None:
        """Remove all records of the log, if there are any [JN-9].

        Afterwards it reads as never written, and begins anew with index 0.
        """
        ...


@runtime_checkable
class OpenedJournal(Journal, Protocol):
    """A journal that is used apart from a backend: what a URL opens.

    A package offers one by an entry point in the group ``resumable_stream.journals``. Its name is
    the URL's scheme, and it loads a function ``(url: str) -> OpenedJournal``.
    """

    async def aclose(self) -> None:
        """Close what this journal opened, and nothing else. Idempotent [BE-3].

        Later calls raise ``BackendUnavailableError``.
        """
        ...
