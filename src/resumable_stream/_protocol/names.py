"""The names of keys and channels."""

from __future__ import annotations

from typing import NamedTuple

from resumable_stream._text.utf8 import is_encodable
from resumable_stream.errors import InvalidSettingError

_MAX_PREFIX = 128


class Names(NamedTuple):
    """Keys and channels under one prefix."""

    prefix: str

    @classmethod
    def under(cls, prefix: str) -> Names:
        """Check the prefix: no name under it may equal a name under another prefix."""
        if not 0 < len(prefix) <= _MAX_PREFIX or ":rs:" in f"{prefix}:":
            raise InvalidSettingError(
                f"key_prefix {prefix!r:.80} must have 1 to {_MAX_PREFIX} characters "
                "and not contain ':rs:' or end in ':rs'"
            )
        if not is_encodable(prefix):
            raise InvalidSettingError(
                f"key_prefix {prefix!r} has lone surrogates: use text that UTF-8 can encode"
            )
        return cls(prefix)

    def sentinel(self, stream_id: str) -> str:
        return f"{self.prefix}:rs:sentinel:{stream_id}"

    def outcome(self, stream_id: str) -> str:
        return f"{self.prefix}:rs:outcome:{stream_id}"

    def conversation(self, conversation_id: str) -> str:
        return f"{self.prefix}:rs:conversation:{conversation_id}"

    def request(self, stream_id: str) -> str:
        return f"{self.prefix}:rs:request:{stream_id}"

    def journal(self, stream_id: str, generation: int) -> str:
        """The log of one producer's run: a producer that was superseded writes where none reads."""
        return f"{self.prefix}:rs:journal:{generation}:{stream_id}"

    def chunk(self, listener_id: str) -> str:
        return f"{self.prefix}:rs:chunk:{listener_id}"


def live_id(stream_id: str, generation: int) -> str:
    """The listener id of the channel that all of a generation's listeners share."""
    return f"{generation}:{stream_id}"
