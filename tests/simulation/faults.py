"""Deliberate faults in the core: what ``mutants`` applies, one at a time."""

from __future__ import annotations

from simulation.continuing_faults import CONTINUING_MUTANTS
from simulation.journal_faults import JOURNAL_MUTANTS
from simulation.mutant import Mutant

MUTANTS = (
    Mutant(
        "the lease is not renewed",
        "_renewing.py",
        "renewed += await self._backend.renew_many(entries, ttl=self._ttl)",
        "renewed += [True] * len(entries)",
    ),
    Mutant(
        "a lease that was not renewed with the others is not renewed alone",
        "_producing/lease.py",
        "        if sent is None:\n            self._renew_alone()",
        "        if sent is None:\n            self._hold_on(lapsed=False)",
    ),
    Mutant(
        "a claim is made by get and then set",
        "_producing/claim.py",
        "            return await self._store.create(key, value, ttl=ttl)\n",
        "            won = await self._store.get(key) is None\n"
        "            if won:\n"
        "                await self._store.set(key, value, ttl=ttl)\n"
        "            return won\n",
    ),
    Mutant(
        "a claim whose reply was lost counts as another's",
        "_producing/claim.py",
        "won = value is not None and generation_of(value) == self.generation",
        "won = False",
    ),
    Mutant(
        "a claim whose reply was lost is won without looking",
        "_producing/claim.py",
        "won = value is not None and generation_of(value) == self.generation",
        "won = True",
    ),
    Mutant(
        "a lost sentinel is not created again",
        "_producing/claim.py",
        'logger.info("the broker lost sentinel %r; creating it again", self._key)',
        "raise SupersededError",
    ),
    Mutant(
        "another generation is not noticed",
        "_producing/claim.py",
        "            elif generation_of(present) != self.generation:\n"
        "                raise SupersededError\n",
        "",
    ),
    Mutant(
        "tokens are compared with their low bits",
        "_producing/claim.py",
        "            elif generation_of(present) != self.generation:",
        "            elif present != self._value:",
    ),
    Mutant(
        "the final write is not fenced",
        "_producing/claim.py",
        "await self._swap(DONE, self._options.end_ttl)",
        "await self._store.set(self._key, DONE, ttl=self._options.end_ttl)",
    ),
    Mutant(
        "the outcome is not fenced",
        "_producing/claim.py",
        "await self._record(outcome.encode(), self._options.outcome_ttl)",
        "await self._store.set(\n"
        "            self._outcome_key, outcome.encode(), ttl=self._options.outcome_ttl\n"
        "        )",
    ),
    Mutant(
        "the outcome is written after the sentinel",
        "_producing/claim.py",
        "        await self._record(outcome.encode(), self._options.outcome_ttl)\n"
        "        await self._swap(DONE, self._options.end_ttl)",
        "        await self._swap(DONE, self._options.end_ttl)\n"
        "        await self._record(outcome.encode(), self._options.outcome_ttl)",
    ),
    Mutant(
        "an abandoned claim is not released",
        "_producing/claim.py",
        "if await self._store.compare_and_set(self._key, present, present, ttl=1):",
        "if True:",
    ),
    Mutant(
        "requests are heard only once the claim is won",
        "_instance.py",
        "            await producer.listen()\n            won = await self._take(claim)\n",
        "            won = await self._take(claim)\n            await producer.listen()\n",
    ),
    Mutant(
        "early requests are forgotten",
        "_producing/requests.py",
        "for request in early:",
        "for request in ():",
    ),
    Mutant(
        "a superseded producer goes on",
        "_producing/lease.py",
        "if isinstance(error, BackendError):",
        "if isinstance(error, BackendError | SupersededError):",
    ),
    Mutant(
        "the source is not closed on a cancel",
        "_producing/drive.py",
        "            self._task.cancel()\n        return True",
        "            pass\n        return True",
    ),
    Mutant(
        "the end is recorded at the first attempt or never",
        "_producing/recording.py",
        "if loop.time() + backoff.upcoming > deadline:",
        "if True:",
    ),
    Mutant(
        "a replay is cut after an await: enrolled too late",
        "_producing/outgoing.py",
        "enrolled = self._followers.enrol(listener, request.place)",
        "enrolled = True\n"
        "        asyncio.get_running_loop().call_later(\n"
        "            0.05, self._followers.enrol, listener, request.place\n"
        "        )",
    ),
    Mutant(
        "the end frame is never pushed",
        "_producing/live.py",
        "            return self.end\n",
        "            return None\n",
    ),
    Mutant(
        "there are no heartbeats",
        "_producing/live.py",
        "self._interval = interval",
        "self._interval = 1e9",
    ),
    Mutant(
        "listeners never expire",
        "_producing/followers.py",
        "if follower.expires < now]",
        "if follower.expires < 0]",
    ),
    Mutant(
        "a producer that ended does not wait for its listeners",
        "_producing/outlet.py",
        "        while self._open:\n",
        "        while False:\n",
    ),
    Mutant(
        "a gap is ignored",
        "_reading/assembly.py",
        "        if frame.place > self.place:\n"
        "            self._keep(frame)\n"
        "            return chunks\n",
        "        self.place = max(self.place, frame.place)\n",
    ),
    Mutant(
        "an overlap is not trimmed",
        "_reading/assembly.py",
        "            if sequence == self.place.sequence:\n",
        "            if sequence <= self.place.sequence:\n",
    ),
    Mutant(
        "a chunk's part is counted from its beginning",
        "_reading/assembly.py",
        "self._partial += part[known:]",
        "self._partial += part",
    ),
    Mutant(
        "early frames are kept without bound",
        "_reading/assembly.py",
        "and self._held_bytes + size <= self._hold",
        "",
    ),
    Mutant(
        "the end counts though text is missing",
        "_reading/assembly.py",
        "and self.place.sequence >= self.final.end",
        "",
    ),
    Mutant(
        "off by one at a surrogate pair",
        "_text/offsets.py",
        "return low if length(text[:low], unit) == offset else None",
        "return low",
    ),
    Mutant(
        "an offset counts code points",
        "_text/offsets.py",
        'return len(text.encode("utf-16-le", "surrogatepass")) // 2',
        "return len(text)",
    ),
    Mutant(
        "trimmed text is read as if it were there",
        "_text/log.py",
        "        if offset < start:\n            raise TrimmedError(start)\n",
        "        offset = max(offset, start)\n",
    ),
    Mutant(
        "a reader is woken once",
        "_text/log.py",
        "    def watch(self, waiter: asyncio.Future[None]) -> None:\n"
        '        """Resolve ``waiter`` at the next chunk or at the end."""\n'
        "        self._waiters[waiter] = None",
        "    def watch(self, waiter: asyncio.Future[None]) -> None:\n"
        '        """Resolve ``waiter`` at the next chunk or at the end."""\n'
        "        self._waiters = {waiter: None}",
    ),
    Mutant(
        "a lagging local reader skips what was trimmed",
        "_reading/local.py",
        "                if following < log.first:\n",
        "                following = max(following, log.first)\n                if False:\n",
    ),
    Mutant(
        "the reader beside the producer waits for the record of the end",
        "_reading/local.py",
        "timeout=self._grace_until - now",
        "timeout=None",
    ),
    Mutant(
        "a stream that is over is served to nobody",
        "_joining.py",
        "if named and outcome.is_served():",
        "if False:",
    ),
    Mutant(
        "a stream is served no longer though somebody listens",
        "_producing/outlet.py",
        "        if not self.outgoing.is_needed():\n            self._close()\n",
        "        if self._tick is not None or not self.outgoing.is_needed():\n"
        "            self._close()\n",
    ),
    Mutant(
        "a cancel is sent once",
        "_reading/canceller.py",
        "await shared.ask(stream_id, request)\n",
        "if backoff.upcoming == _FIRST_PAUSE: await shared.ask(stream_id, request)\n",
    ),
    Mutant(
        "a listener has room for everything",
        "_reading/listener.py",
        "        if room <= 0:\n",
        "        if False:\n",
    ),
    Mutant(
        "a listener waits for a producer for ever",
        "_reading/liveness.py",
        "lost = sighting is Sighting.MISSING or unanswered",
        "lost = False",
    ),
    Mutant(
        "an outage is borne for ever",
        "_reading/liveness.py",
        "if now - self._outage_since >= self.tolerance:",
        "if False:",
    ),
    Mutant(
        "a reader that leaves stays subscribed",
        "_reading/reader_task.py",
        "        for subscription in self._subscriptions:\n"
        "            await subscription.aclose()\n",
        "",
    ),
    Mutant(
        "a chunk is taken before the reader is there to have it",
        "_reading/remote.py",
        "                await self.unread.arrival()\n",
        "                await self.unread.arrival()\n"
        "                await asyncio.sleep(0)\n"
        "                if self.unread._runs:\n"
        "                    self.unread._runs.append(self.unread._runs.popleft())\n",
    ),
    Mutant(
        "an unframed message makes a listener speak version 1",
        "_finding.py",
        "await attach(shared, enrolments, stream_id, generation, start, ended=ended)",
        "await attach(shared, enrolments, stream_id, None, start, ended=ended)",
    ),
    Mutant(
        "TypeScript's end marker is believed at once",
        "_reading/v1_listener.py",
        "return not produced and not self._dropped and len(self._inbox) == came",
        "return True",
    ),
    Mutant(
        "a TypeScript listener is not told the end",
        "_producing/v1_cursor.py",
        "            yield encode_v1(V1_END)\n",
        "",
    ),
    Mutant(
        "an unsubscribe drops a sibling",
        "backends/resumable_stream_memory/_bus.py",
        "                inboxes.remove(inbox)\n",
        "                inboxes.clear()\n",
    ),
    Mutant(
        "an impatient reader waits for the record of the end at each attempt",
        "_reading/local.py",
        "        if self._grace_until is None:\n",
        "        if True:\n",
        found=True,
    ),
    Mutant(
        "a cancel is given up before a slow source can close",
        "_options.py",
        "return self.lease + self.handshake_timeout + CLOSE_TIMEOUT + ON_END_TIMEOUT",
        "return self.lease + self.handshake_timeout",
        found=True,
    ),
    Mutant(
        "a TypeScript listener gets text with a hole",
        "_producing/v1_cursor.py",
        "            self.ended = True  # better no end than a wrong text",
        "            pass",
        found=True,
    ),
    Mutant(
        "a claim that is executed late locks its owner out",
        "_producing/claim.py",
        "if won else not attempt",
        "if won else True",
        found=True,
    ),
    *JOURNAL_MUTANTS,
    *CONTINUING_MUTANTS,
)
