"""Which stream is the newest of a conversation, for a page that only knows the conversation."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, NamedTuple, final

from resumable_stream._arguments import check_id
from resumable_stream._protocol import sentinel
from resumable_stream._protocol.fields import MalformedError, natural, read_object
from resumable_stream._status import StreamState
from resumable_stream.errors import (
    BackendUnavailableError,
    InvalidSettingError,
    OutcomeUnknownError,
)

if TYPE_CHECKING:
    from resumable_stream._context import ResumableStreamContext
    from resumable_stream._shared import Shared

# How often others may begin an answer in between.
_ATTEMPTS = 32
_MOST_SECONDS = 10**9


class Turn(NamedTuple):
    """An answer of a conversation.

    Attributes:
        stream_id: the id of its stream.
        is_new: it was begun by this call, whose caller starts the stream; else it runs already.
    """

    stream_id: str
    is_new: bool


@final
class Conversations:
    """Finds the newest stream of each conversation, and lets a conversation have one at a time.

    It keeps one key for each conversation, beside those of the streams, on any backend.

    Args:
        streams: the context whose streams they are.
        ttl: for how many seconds the newest stream of a conversation is found after it was begun.
        patience: for how many seconds a stream counts as running that has not begun yet, such as
            one whose job waits in a queue.

    Raises:
        InvalidSettingError: a number of seconds is none.
    """

    def __init__(
        self, streams: ResumableStreamContext, *, ttl: int = 24 * 60 * 60, patience: int = 30
    ) -> None:
        for name, value, least in (("ttl", ttl, 1), ("patience", patience, 0)):
            if type(value) is not int or not least <= value <= _MOST_SECONDS:
                raise InvalidSettingError(f"{name} {value!r:.80} must be {least} or more seconds")
        self._streams = streams
        self._ttl = ttl
        self._patience = patience

    async def latest(self, conversation_id: str) -> str | None:
        """Return the id of the newest stream; None if none was begun within the ``ttl``.

        Raises:
            InvalidStreamIdError: the conversation's id is none.
            BackendError: the broker did not answer.
        """
        shared, key = self._place(conversation_id)
        return _Named.decode(await shared.backend.get(key)).stream_id

    async def begin(self, conversation_id: str, stream_id: str | None = None) -> Turn:
        """Return the stream that runs, or else a new one for the caller to start.

        Of several callers at once, one begins, and the others get its stream.

        Args:
            conversation_id: which conversation, 1 to 512 characters.
            stream_id: the id of the new stream, which nobody has used; a random one if None.

        Raises:
            InvalidStreamIdError: an id is none.
            BackendError: the broker did not answer; try again, which is safe.
        """
        shared, key = self._place(conversation_id)
        if stream_id is None:
            stream_id = str(uuid.uuid4())
        check_id(stream_id)
        for _ in range(_ATTEMPTS):
            value = await shared.backend.get(key)
            named = _Named.decode(value)
            if named.stream_id == stream_id:
                return Turn(stream_id, is_new=True)  # an earlier attempt's reply was lost
            if named.stream_id is not None and await self._runs(named):
                return Turn(named.stream_id, is_new=False)
            mine = _Named(stream_id, int(sentinel.wall_clock()) + self._patience).encode()
            try:
                if value is None:
                    written = await shared.backend.create(key, mine, ttl=self._ttl)
                else:
                    written = await shared.backend.compare_and_set(key, value, mine, ttl=self._ttl)
            except OutcomeUnknownError:
                continue
            if written:
                return Turn(stream_id, is_new=True)
        raise _restless(conversation_id)

    async def forget(self, conversation_id: str) -> str | None:
        """Forget the newest stream, which goes on if it runs; return its id, None without one.

        Raises:
            InvalidStreamIdError: the conversation's id is none.
            BackendError: the broker did not answer; try again, which is safe.
        """
        shared, key = self._place(conversation_id)
        forgotten: str | None = None
        for _ in range(_ATTEMPTS):
            value = await shared.backend.get(key)
            named = _Named.decode(value)
            if value is None or named.stream_id is None:
                return forgotten
            forgotten = named.stream_id
            try:
                # Nothing is deleted: no other value can be hit so.
                if await shared.backend.compare_and_set(key, value, _Named().encode(), ttl=1):
                    return forgotten
            except OutcomeUnknownError:
                continue
        raise _restless(conversation_id)

    def _place(self, conversation_id: str) -> tuple[Shared, str]:
        check_id(conversation_id)
        shared = self._streams._binding.get().shared  # noqa: SLF001 - a part of the library
        return shared, shared.names.conversation(conversation_id)

    async def _runs(self, named: _Named) -> bool:
        assert named.stream_id is not None  # noqa: S101 - for the type checker
        state = (await self._streams.stream_status(named.stream_id)).state
        if state is StreamState.NOT_FOUND:
            return sentinel.wall_clock() < named.begins_by
        return state is StreamState.ACTIVE


def _restless(conversation_id: str) -> BackendUnavailableError:
    return BackendUnavailableError(
        f"conversation {conversation_id!r} does not come to rest; try again"
    )


class _Named(NamedTuple):
    """What a conversation's key says; nothing if it cannot be read."""

    stream_id: str | None = None
    begins_by: int = 0

    def encode(self) -> str:
        return json.dumps({"stream": self.stream_id, "beginsBy": self.begins_by})

    @classmethod
    def decode(cls, text: str | None) -> _Named:
        try:
            fields = read_object(text or "")
            stream_id, begins_by = fields.get("stream"), natural(fields.get("beginsBy"), 0)
        except MalformedError:
            return cls()
        return cls(stream_id, begins_by) if isinstance(stream_id, str) else cls()
