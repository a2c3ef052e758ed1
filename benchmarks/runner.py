"""Runs every workload for every contender, in rounds, so that all meet the same conditions."""

from __future__ import annotations

import logging
from collections import Counter
from typing import TYPE_CHECKING

from benchmarks.environments import EnvironmentMissingError, launch_of
from benchmarks.processes import NotMeasuredError, RunFailedError
from benchmarks.results import Record
from benchmarks.stage import Stage

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from benchmarks.brokers import Brokers
    from benchmarks.contenders import Contender
    from benchmarks.environments import Launch
    from benchmarks.stage import Scale, Workload

logger = logging.getLogger(__name__)

# After this many failures a pair is not tried again: most failures are slow time-outs.
_GIVE_UP_AFTER = 2


class Runner:
    """Measures one contender after the other, never two at a time.

    Attributes:
        records: the results until now.
    """

    def __init__(self, brokers: Brokers, scale: Scale, profiles: Path | None = None) -> None:
        self.records: list[Record] = []
        self._brokers = brokers
        self._scale = scale
        self._profiles = profiles
        self._failures: Counter[tuple[str, str]] = Counter()
        self._launches: dict[str, Launch | EnvironmentMissingError] = {}

    def enlist(self, contender: Contender, tree: Path | None = None) -> None:
        """Install what the contender needs before anything is measured."""
        try:
            self._launches[contender.name] = launch_of(contender, tree)
        except EnvironmentMissingError as error:
            logger.warning("%s: %s", contender.name, error)
            self._launches[contender.name] = error

    async def run(
        self, number: int, workloads: Sequence[Workload], contenders: Sequence[Contender]
    ) -> None:
        """Measure one round; each round begins with another contender."""
        turn = number % len(contenders)
        order = [*contenders[turn:], *contenders[:turn]]
        for workload in workloads:
            for contender in order:
                if workload.takes(contender):
                    await self._once(workload, contender, number)

    async def _once(self, workload: Workload, contender: Contender, number: int) -> None:
        about = (workload.name, contender.name)
        if self._failures[about] >= _GIVE_UP_AFTER:
            return
        launch = self._launches[contender.name]
        if isinstance(launch, EnvironmentMissingError):
            self._failures[about] = _GIVE_UP_AFTER
            self.records.append(Record(*about, number, {}, str(launch)))
            return
        stage = Stage(workload.name, contender, self._brokers, launch, self._scale, self._profiles)
        try:
            record = Record(*about, number, await workload.run(stage))
        except NotMeasuredError as error:
            logger.info("%s, %s is not measured: %s", *about, error)
            self.records.append(Record(*about, number, {}))
            return
        except RunFailedError as error:
            self._failures[about] += 1
            record = Record(*about, number, {}, str(error))
        self.records.append(record)
        shown = record.failure or ", ".join(f"{k} {v:.4g}" for k, v in record.metrics.items())
        logger.info("round %d, %s, %s: %s", number + 1, *about, shown)
