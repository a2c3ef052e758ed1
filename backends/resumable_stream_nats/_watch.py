"""What a server denies of what one call sends or subscribes to."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from resumable_stream_nats._errors import DeniedError


class Watch:
    """Collects what the server denies while messages are sent or subjects subscribed."""

    def __init__(self, kind: str, subjects: Iterable[str]) -> None:
        self._kind = kind
        self._subjects = subjects
        self._denied: dict[str, DeniedError] = {}

    def hear(self, denial: DeniedError) -> None:
        if denial.kind == self._kind and denial.subject in map(str.lower, self._subjects):
            self._denied[denial.subject] = denial

    @property
    def quiet(self) -> bool:
        """Nothing was denied."""
        return not self._denied

    def denial_of(self, subject: str) -> DeniedError | None:
        return self._denied.get(subject.lower())
