"""The pauses between attempts, which grow while something keeps failing."""

from __future__ import annotations


class Backoff:
    """Each pause is twice the one before, up to a longest one.

    Args:
        first: the first pause, in seconds.
        longest: the longest pause, in seconds.

    Attributes:
        upcoming: the pause that ``next`` returns next.
    """

    __slots__ = ("_first", "_longest", "upcoming")

    def __init__(self, first: float, longest: float = 1.0) -> None:
        self._first = first
        self._longest = longest
        self.upcoming = first

    def next(self) -> float:
        """Return the pause to make now, and double the one after it."""
        pause = self.upcoming
        self.upcoming = min(self._longest, pause * 2)
        return pause

    def reset(self) -> None:
        """Begin with the first pause again: an attempt has succeeded."""
        self.upcoming = self._first
