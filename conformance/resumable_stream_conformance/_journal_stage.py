"""What the tests of a journal use: several openings of one store, and whole logs."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pytest

from resumable_stream_conformance._suite import LawBase

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from resumable_stream.journal import Journal

LONG = 600
PAGE = 65_536


class JournalOpening(NamedTuple):
    """One opening of the store: a journal, and what closes it, if anything does."""

    journal: Journal
    aclose: Callable[[], Awaitable[None]] | None


class JournalStage(LawBase):
    """Journals of one store. A suite says how they are opened."""

    async def open_store(self, *, without_loop: bool = False) -> JournalOpening:
        """Open the store once more; it is closed when the test ends.

        With ``without_loop`` the opening call is made in a thread that has no event loop.
        """
        raise NotImplementedError

    async def journal(self) -> Journal:
        return (await self.open_store()).journal

    async def journals(self, count: int) -> list[Journal]:
        return [await self.journal() for _ in range(count)]

    async def closable(self) -> tuple[Journal, Callable[[], Awaitable[None]]]:
        """Open a journal that is to be closed; skip the test if none can be."""
        journal, aclose = await self.open_store()
        if aclose is None:
            pytest.skip("the journal has no aclose")
        return journal, aclose


async def read_all(journal: Journal, log: str, *, max_bytes: int = PAGE) -> list[bytes]:
    """Page through a log to its end."""
    return [record for page in await read_pages(journal, log, max_bytes) for record in page]


async def read_pages(journal: Journal, log: str, max_bytes: int) -> list[list[bytes]]:
    pages: list[list[bytes]] = []
    index = 0
    while page := await journal.read(log, index, max_bytes=max_bytes):
        pages.append(list(page))
        index += len(page)
    assert page is not None, f"record {index} reads as gone, although nothing has expired"
    return pages


async def fill(journal: Journal, log: str, records: list[bytes], *, ttl: int = LONG) -> None:
    """Append records to a log that is empty."""
    for index, record in enumerate(records):
        assert await journal.append(log, index, record, ttl=ttl) is True, f"refused record {index}"
