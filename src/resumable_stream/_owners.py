"""Stream ids that belong to an owner: without the owner a name reaches no stream."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field
from typing import final

from resumable_stream.errors import InvalidSettingError, InvalidStreamIdError

_LEAST_KEY = 16
_ADVICE = (
    f"pass at least {_LEAST_KEY} secret bytes, the same on every instance; "
    "create them once, for example with os.urandom(32)"
)


@final
@dataclass(frozen=True, slots=True)
class StreamOwners:
    """Derives the stream ids under which only their owner reaches a stream.

    Create it when the application starts: a key that is missing or too short is refused then, and
    not at the first request.

    Args:
        key: a secret of at least 16 bytes, the same on every instance. With another key, running
            streams are not found.

    Raises:
        InvalidSettingError: the key is not bytes, or is too short.
    """

    key: bytes = field(repr=False)

    def __post_init__(self) -> None:
        # The messages do not show the key: even a short one is a secret.
        if not isinstance(self.key, bytes):
            raise InvalidSettingError(
                f"key is of type {type(self.key).__name__}, not bytes: {_ADVICE}; "
                "key.encode() makes bytes of a str"
            )
        if len(self.key) < _LEAST_KEY:
            raise InvalidSettingError(f"key has {len(self.key)} bytes: {_ADVICE}")

    def stream_id(self, owner: str, name: str) -> str:
        """Return the stream id under which ``owner`` reaches the stream called ``name``.

        Pass it to every call of the context in place of the name. Another user gets another id for
        the same name, so to them the stream does not exist: resume, status and cancel answer as
        they do for an unused name. Nothing is stored and nothing is compared. An endpoint that
        forgets the owner finds no stream at all.

        Args:
            owner: who is asking, as your authentication knows them; never what the client sends.
            name: the stream's name, which clients may know, choose and share.

        Raises:
            InvalidStreamIdError: the owner or the name is not text, or is empty.
        """
        owned_by, called = _checked(owner), _checked(name)
        # The owner's length keeps two pairs of owner and name from giving the same message.
        message = b"%d:%b%b" % (len(owned_by), owned_by, called)
        return hmac.new(self.key, message, hashlib.sha256).hexdigest()


def owned_stream_id(owner: str, name: str, *, key: bytes) -> str:
    """Return ``StreamOwners(key).stream_id(owner, name)``.

    It checks the key at each call. ``StreamOwners`` checks it once, when the application starts.

    Raises:
        InvalidSettingError: the key is not bytes, or is too short.
        InvalidStreamIdError: the owner or the name is not text, or is empty.
    """
    return StreamOwners(key).stream_id(owner, name)


def _checked(value: object) -> bytes:
    if not isinstance(value, str) or not value:
        raise InvalidStreamIdError(
            f"{value!r:.80} is no owner or stream name: pass text that is not empty"
        )
    return value.encode("utf-8", "surrogatepass")
