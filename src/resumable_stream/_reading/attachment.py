"""What comes of an attempt to read a stream that is produced elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    from resumable_stream.errors import ResumableStreamError


@final
class Joined:
    """The producer has answered: its text can be read."""

    __slots__ = ()


@final
class Moved:
    """The stream is no longer there: look it up again."""

    __slots__ = ()


@final
class Refused:
    """There is nothing to read, for this reason."""

    __slots__ = ("error",)
    __match_args__ = ("error",)

    def __init__(self, error: ResumableStreamError) -> None:
        self.error = error


Attachment = Joined | Moved | Refused
