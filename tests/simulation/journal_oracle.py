"""P12, and what each durability promises."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from simulation.excuses import Excuses
    from simulation.texts import Problem
    from simulation.world import World


def check_kept(world: World, excuses: Excuses) -> Iterator[Problem]:
    return
    yield
