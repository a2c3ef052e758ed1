"""Stream ids that belong to somebody: an id alone opens nothing."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field
from typing import final

from resumable_stream.errors import InvalidSettingError, InvalidStreamIdError

_LEAST_KEY = 16
_ADVICE = (
    f"pass at least {_LEAST_KEY} secret bytes, the same on every instance, "
    "such as os.urandom(32) gives once"
)


@final
@dataclass(frozen=True, slots=True)
class StreamOwners:
    """Gives the stream ids under which only their owner reaches a stream.

    Make one when the application starts: a key that is missing or too short is refused then, and
    not at the first request.

    Args:
        key: a secret of at least 16 bytes, the same on every instance. With another one, running
            streams are not found.

    Raises:
        InvalidSettingError: a key that is not bytes, or is too short.
    """

    key: bytes = field(repr=False)

    def __post_init__(self) -> None:
        # The messages leave the key out: it is a secret, even a short one.
        if not isinstance(self.key, bytes):
            raise InvalidSettingError(
                f"key is of type {type(self.key).__name__}, not bytes: {_ADVICE}; "
                "key.encode() makes bytes of a str"
            )
        if len(self.key) < _LEAST_KEY:
            raise InvalidSettingError(f"key has {len(self.key)} bytes: {_ADVICE}")

    def stream_id(self, owner: str, name: str) -> str:
        """Return the stream id under which ``owner`` reaches the stream called ``name``.

        Pass it to every call of the context in place of the name. Somebody else's id for the same
        name is another one, so to them the stream does not exist: resume, status and cancel answer
        as they do for a name that nobody has used. Nothing is stored and nothing compared, and an
        endpoint that forgets to ask for the owner finds nothing.

        Args:
            owner: who is asking, as your authentication knows them; never what the client sends.
            name: the stream's name, which clients may know, choose and share.

        Raises:
            InvalidStreamIdError: an owner or a name that is not text, or is empty.
        """
        owned_by, called = _checked(owner), _checked(name)
        # With its length before it, no owner ends where another one's name begins.
        message = b"%d:%b%b" % (len(owned_by), owned_by, called)
        return hmac.new(self.key, message, hashlib.sha256).hexdigest()


def owned_stream_id(owner: str, name: str, *, key: bytes) -> str:
    """Return ``StreamOwners(key).stream_id(owner, name)``.

    It checks the key at each call. ``StreamOwners`` checks it once, when the application starts.

    Raises:
        InvalidSettingError: a key that is not bytes, or is too short.
        InvalidStreamIdError: an owner or a name that is not text, or is empty.
    """
    return StreamOwners(key).stream_id(owner, name)


def _checked(value: object) -> bytes:
    if not isinstance(value, str) or not value:
        raise InvalidStreamIdError(
            f"{value!r:.80} is no owner or stream name: pass text that is not empty"
        )
    return value.encode("utf-8", "surrogatepass")
