"""The journal: a Redis stream for each log, with an entry for each record.

A record's number is in its entry's id, so that what somebody trims by hand is missed and not taken
for another record. The server itself refuses an id that is not above the newest.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from redis.exceptions import RedisError

from resumable_stream.adapter_kit import LoopBound
from resumable_stream.errors import OutcomeUnknownError, RecordTooLargeError
from resumable_stream_redis._errors import BACKEND, STALE_CONNECTION, log_refused, refused
from resumable_stream_redis._names import log_of
from resumable_stream_redis._nodes import Nodes, Script
from resumable_stream_redis._pipe import PATIENCE
from resumable_stream_redis._settings import checked_timeout
from resumable_stream_redis._topology import topology_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis.asyncio import Redis, RedisCluster

    from resumable_stream_redis._topology import Topology

MAX_RECORD_SIZE = 512 * 1024

# The server does nothing else while it reads: some milliseconds at most for one call.
_MAX_READ_BYTES = 1024 * 1024
_MAX_READ_RECORDS = b"1000"
# Reads that a node has to answer at once: their replies wait in its memory.
_READS = 8

# XADD is the first write: after one, a server does not look at maxmemory any more.
_APPEND = Script(b"""\
if redis.call('XLEN', KEYS[1]) ~= tonumber(ARGV[1]) then
  -- It is not the next one, unless somebody has trimmed the front.
  local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
  if not last or last[1] ~= ARGV[1] .. '-0' then return 0 end
end
local left = redis.call('PTTL', KEYS[1])
local added = redis.pcall('XADD', KEYS[1], ARGV[1] + 1 .. '-0', 'r', ARGV[3])
if type(added) == 'table' then
  -- Somebody has removed the newest entries: the server still knows their ids.
  if string.find(added.err, 'equal or smaller', 1, true) then return 0 end
  return added
end
if left < ARGV[2] * 1000 then
  local kept = redis.pcall('EXPIRE', KEYS[1], ARGV[2])
  if type(kept) == 'table' then
    if left >= 0 then return 2 end
    -- Nothing may stay that never expires.
    redis.call('DEL', KEYS[1])
    return kept
  end
end
return 1
""")
_WRITTEN, _WRITTEN_FOR_LESS = 1, 2

# Entries are fetched by some at a time, as many as are likely to fit.
_READ = Script(b"""\
local number, left, most = ARGV[1] + 1, tonumber(ARGV[2]), tonumber(ARGV[3])
local records, count = {}, 1
while #records < most do
  local found = redis.call('XRANGE', KEYS[1], number .. '-0', '+', 'COUNT', count)
  for _, entry in ipairs(found) do
    if entry[1] ~= number .. '-0' then
      if #records == 0 then return false end
      return records
    end
    local record = entry[2][2]
    left = left - #record
    if left < 0 and #records > 0 then return records end
    records[#records + 1] = record
    number = number + 1
  end
  if #found < count or left <= 0 then return records end
  local fit = math.floor(math.min(16, left * #records / (ARGV[2] - left)))
  count = math.max(1, math.min(fit, most - #records))
end
return records
""")


def open_journal(url: str) -> RedisJournal:
    """Open the journal of a ``redis://`` URL, or of another scheme of this package."""
    return RedisJournal(url)


class RedisJournal:
    """A journal on Redis or Valkey: that of a backend, or one by itself.

    It opens up to two connections of its own (in a cluster, for each node that holds logs), one to
    write and one to read. So neither a message nor a lease's renewal waits behind a record, nor a
    record behind what is read. Both open at the first use and close when idle.

    A log stays whole for as long as its last record. If the server's ``maxmemory-policy`` evicts
    keys, it may drop logs before their time.

    Args:
        url: as for ``RedisBackend``.
        client: as for ``RedisBackend``.
        timeout: as for ``RedisBackend``.

    Raises:
        InvalidSettingError: an invalid setting; the message says what to pass.
        UnsupportedDriverError: redis-py or hiredis is too old, or not as expected inside.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        client: Redis | RedisCluster | None = None,
        timeout: float = 5.0,
    ) -> None:
        self._topology = topology_of(url, client)
        self._timeout = checked_timeout(timeout)
        self._bound = LoopBound(BACKEND, lambda: _Parts(self._topology, self._timeout))

    @property
    def max_record_size(self) -> int:
        return MAX_RECORD_SIZE

    async def append(self, log: str, index: int, record: bytes, *, ttl: int) -> bool:
        if len(record) > MAX_RECORD_SIZE:
            raise RecordTooLargeError(
                f"a record of {len(record)} bytes exceeds max_record_size {MAX_RECORD_SIZE}"
            )
        parts = self._bound.get()
        arguments = (b"%d" % index, b"%d" % ttl, record)
        try:
            done = await parts.writes.run(_APPEND, [log_of(log)], *arguments, write=True)
        except RedisError as error:
            if isinstance(error, STALE_CONNECTION):
                # A demoted server answers reads for ever, with what it had.
                parts.reads.renew()
            raise log_refused(log, error) from error
        if done == _WRITTEN_FOR_LESS:
            raise OutcomeUnknownError(
                f"record {index} of log {log!r} was written, but may live for less than {ttl} s: "
                "the user may not run the command expire any more"
            )
        return done == _WRITTEN

    async def read(self, log: str, index: int, *, max_bytes: int) -> Sequence[bytes] | None:
        reads = self._bound.get().reads
        most = min(max_bytes, _MAX_READ_BYTES)
        arguments = (b"%d" % index, b"%d" % most, _MAX_READ_RECORDS)
        limit = PATIENCE * self._timeout
        try:
            async with asyncio.timeout(limit):
                found = await reads.run(_READ, [log_of(log)], *arguments, write=False)
        except TimeoutError as error:
            raise refused(TimeoutError(f"no turn to read within {limit:g} s")) from error
        except RedisError as error:
            raise log_refused(log, error) from error
        return cast("list[bytes] | None", found)

    async def delete(self, log: str) -> None:
        key = log_of(log)
        try:
            await self._bound.get().writes.execute(key, b"DEL", key, write=True)
        except RedisError as error:
            raise log_refused(log, error) from error

    async def aclose(self) -> None:
        if (parts := self._bound.close()) is not None:
            await parts.aclose()


class _Parts:
    """What belongs to one event loop."""

    def __init__(self, topology: Topology, timeout: float) -> None:
        self.writes = Nodes(topology, timeout, watched=True)
        self.reads = Nodes(topology, timeout, watched=True, at_once=_READS)

    @property
    def cut_off(self) -> bool:
        """The event loop is being shut down: what was begun now would not come to its end."""
        return self.writes.cut_off or self.reads.cut_off

    async def aclose(self) -> None:
        await self.writes.aclose()
        await self.reads.aclose()
