"""Deliberate faults in how a stream goes on whose producer was lost."""

from __future__ import annotations

from simulation.mutant import Mutant

CONTINUING_MUTANTS = (
    Mutant(
        "a stream is continued without its last chunk",
        "_producing/producer.py",
        "        for chunk in chunks:\n            draft.append(chunk)\n",
        "        for chunk in chunks[:-1]:\n            draft.append(chunk)\n",
    ),
    Mutant(
        "event ids of a continued run are refused",
        "_protocol/lineage.py",
        "        return next((end for one, end in self.runs if one == generation), None)\n",
        "        return None\n",
    ),
    Mutant(
        "two callers continue one stream",
        "_producing/claim.py",
        "        return await self._store.compare_and_set(key, ended, value, ttl=ttl)\n",
        "        return True\n",
    ),
    Mutant(
        "a run that completed is continued",
        "_continuing.py",
        "            and outcome.ending.status is Status.LOST\n",
        "",
    ),
    Mutant(
        "what is continued is continued from its beginning",
        "_succeeding.py",
        "                return partial(continuation.more, so_far)\n",
        "                return partial(continuation.more, type(so_far)(()))\n",
    ),
    Mutant(
        "who goes on by itself begins again",
        "_starting.py",
        "            start = Start(event_id=place, named=True) if place.sequence else Start()\n",
        "            start = Start()\n",
    ),
)
