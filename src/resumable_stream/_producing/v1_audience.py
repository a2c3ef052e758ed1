"""What all streams of an instance share about their TypeScript listeners."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from resumable_stream.errors import AccessDeniedError, BackendError
from resumable_stream.ports import SubscriberCounts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from resumable_stream.ports import PubSub

logger = logging.getLogger("resumable_stream")

# One instance serves no more TypeScript listeners than this; each takes half a kilobyte.
MAX_OF_INSTANCE = 16_384


class V1Audience:
    """How many TypeScript listeners there are, and whether the broker sees them.

    Attributes:
        can_be_seen: the broker can tell who is subscribed, as far as is known.
    """

    def __init__(self, pubsub: PubSub) -> None:
        self._counts = pubsub if isinstance(pubsub, SubscriberCounts) else None
        self._listeners = 0

    @property
    def can_be_seen(self) -> bool:
        return self._counts is not None

    def admit(self) -> bool:
        """Take one more in; False if there are too many."""
        if self._listeners >= MAX_OF_INSTANCE:
            return False
        self._listeners += 1
        return True

    def dismiss(self, count: int) -> None:
        self._listeners -= count

    def stop_looking(self) -> None:
        """Assume from now on that every listener is there."""
        self._counts = None

    async def look(self, witness: str, channels: Sequence[str]) -> list[bool] | None:
        """Tell which channels have a subscriber; None if that cannot be known now.

        Args:
            witness: a channel that this instance is subscribed to. If the broker does not see that
                subscription, it proves nothing about others: it has just restarted, or is not the
                one that messages go through.
            channels: what to ask about.
        """
        if self._counts is None:
            return None
        try:
            counts = await self._counts.count_subscribers([witness, *channels])
        except AccessDeniedError as error:
            self.stop_looking()
            logger.warning("TypeScript listeners that vanish will not be noticed: %s", error)
            return None
        except BackendError as error:
            logger.debug("the broker did not tell which TypeScript listeners are there: %s", error)
            return None
        if counts is None:
            self.stop_looking()
            return None
        seen, *present = (count > 0 for count in counts)
        return present if seen else None
