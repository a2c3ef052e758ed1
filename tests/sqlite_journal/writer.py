"""A process that appends to a journal, and prints the index of each record that it wrote.

``writer.py PATH LOG COUNT MARK SIZE`` waits for a line on its standard input, and then appends
``MARK`` times ``SIZE`` at each index below ``COUNT``, the next one whether or not it was written.
"""

from __future__ import annotations

import asyncio
import sys

from resumable_stream_sqlite import SqliteJournal


async def main(path: str, log: str, count: str, mark: str, size: str) -> None:
    journal = SqliteJournal(path, timeout=60)
    record = mark.encode() * int(size)
    for index in range(int(count)):
        if await journal.append(log, index, record, ttl=600):
            sys.stdout.write(f"{index}\n")
            sys.stdout.flush()
    await journal.aclose()


if __name__ == "__main__":
    sys.stdin.readline()
    asyncio.run(main(*sys.argv[1:]))
