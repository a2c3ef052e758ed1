"""Deliberate faults in what the core does with a journal."""

from __future__ import annotations

from simulation.mutant import Mutant

JOURNAL_MUTANTS = (
    Mutant(
        "a record counts as written before its append returns",
        "_producing/journal_log.py",
        "            written = await self._journal.append("
        "self._name, self.index, record, ttl=self._ttl)",
        "            __import__('asyncio').ensure_future(\n"
        "                self._journal.append(self._name, self.index, record, ttl=self._ttl)\n"
        "            )\n"
        "            written = True",
    ),
    Mutant(
        "the end is written without the last of the text",
        "_producing/journal_writer.py",
        "        if end is not None and place == Place(text.end):\n",
        "        if end is not None:\n",
    ),
    Mutant(
        "a reader seals",
        "_reading/replay.py",
        "        else:\n            final = self._loss or _LOST\n"
        "            self._final = EndFrame(self._generation, self._place, final)",
        "        else:\n"
        "            from resumable_stream._protocol.records import encode_record\n\n"
        "            self._final = EndFrame(self._generation, self._place, _LOST)\n"
        "            log = self._records\n"
        "            await log._journal.append(\n"
        "                log._name, log.index, encode_record(self._stream_id, self._final),\n"
        "                ttl=60,\n"
        "            )",
    ),
    Mutant(
        "no pointer leads to what a dead producer wrote",
        "_producing/journal_writer.py",
        "        await self._point()\n        if self._ended:\n",
        "        if self._ended:\n",
    ),
    Mutant(
        "the next record leaves a chunk out",
        "_producing/journal_writer.py",
        "        self.place = record.after\n",
        "        self.place = Place(min(record.after.sequence + 1, text.end))\n",
    ),
    Mutant(
        "a text without an end reads as complete",
        "_reading/replay.py",
        "        else:\n            final = self._loss or _LOST\n"
        "            self._final = EndFrame(self._generation, self._place, final)",
        "        else:\n"
        "            self._final = EndFrame(\n"
        "                self._generation, self._place, Ending(Status.COMPLETED)\n"
        "            )",
    ),
    Mutant(
        "a write of unknown outcome counts as written",
        "_producing/journal_log.py",
        "            written, unknown = False, error",
        "            written, unknown = True, error",
    ),
    Mutant(
        "the source of a dead producer is run again",
        "_succeeding.py",
        "        if left is not None:\n",
        "        if left is not None and continuation is not None:\n",
    ),
    Mutant(
        "an erased text stays",
        "_deleting.py",
        "        await shared.journal.delete(shared.names.journal(stream_id, generation))",
        "        pass",
    ),
    Mutant(
        "a place beyond what is left of a lost text is called invalid",
        "_reading/replay.py",
        " and final.ending.status not in _UNFINISHED",
        "",
        found=True,
    ),
    Mutant(
        "an outcome without DONE leads nowhere",
        "_protocol/sentinel.py",
        "    return outcome if outcome.is_kept() else None",
        "    return None",
        found=True,
    ),
    Mutant(
        "an expired front reads as a shorter text",
        "_reading/replay.py",
        "        if records is None:\n            raise self._gone()\n        return records",
        "        return records or []",
    ),
    Mutant(
        "text that the journal lost is not written again",
        "_producing/journal_writer.py",
        "            self._log.index, self.place = 0, Place(0)\n",
        "            self._log.index = 0\n",
    ),
    Mutant(
        "a log that has ended is sealed all the same",
        "_producing/journal_log.py",
        "        if there is not None:\n            return there\n",
        "",
    ),
    Mutant(
        "text is said to be kept that the journal did not take",
        "_producing/journaling.py",
        "        except NotKeptError as error:\n            self._kept = False\n",
        "        except NotKeptError as error:\n",
    ),
    Mutant(
        "an erased stream's outcome goes before its sentinel",
        "_deleting.py",
        "(key, record) if record is not None and value != DONE else (sentinel, DONE)",
        "(key, record) if record is not None else (sentinel, DONE)",
        found=True,
    ),
    Mutant(
        "a seal is ignored",
        "_producing/journal_log.py",
        "            if found and found[0] != record:\n                raise ForeignRecordError\n",
        "",
    ),
)
