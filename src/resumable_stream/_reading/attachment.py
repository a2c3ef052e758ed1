"""What comes of an attempt to read a stream that is produced elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    from resumable_stream.errors import ResumableStreamError


@final
@dataclass(frozen=True, slots=True)
class Joined:
    """The producer has answered: its text can be read."""


@final
@dataclass(frozen=True, slots=True)
class Moved:
    """The stream is no longer there: look it up again."""


@final
@dataclass(frozen=True, slots=True)
class Refused:
    """There is nothing to read, for this reason."""

    error: ResumableStreamError


Attachment = Joined | Moved | Refused
