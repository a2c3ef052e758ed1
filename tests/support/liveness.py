"""What a remote reader knows of its producer; the tests choose the time."""

from __future__ import annotations

from typing import Any

from resumable_stream import Options
from resumable_stream._reading.liveness import Liveness

LEASE = 15.0
OUTAGE = 60.0
HANDSHAKE = 5.0


def liveness(
    *, attached: bool = True, typescript: bool = False, ended: bool = False, **options: float
) -> Liveness:
    """Return a liveness that begins at 0; if ``attached``, the producer was heard then."""
    chosen: dict[str, Any] = {
        "lease": LEASE,
        "outage_timeout": OUTAGE,
        "handshake_timeout": HANDSHAKE,
    }
    made = Liveness(Options(**chosen | options), 0, typescript=typescript, ended=ended)
    if attached:
        made.heard(0)
        made.attach()
    return made
