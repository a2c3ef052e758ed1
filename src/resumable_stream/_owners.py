"""Stream ids that belong to somebody: an id alone opens nothing."""

from __future__ import annotations

import hashlib
import hmac

from resumable_stream.errors import InvalidSettingError, InvalidStreamIdError

_LEAST_KEY = 16


def owned_stream_id(owner: str, name: str, *, key: bytes) -> str:
    """Return the stream id under which ``owner`` reaches the stream called ``name``.

    Pass it to every call of the context in place of the name. Somebody else's id for the same name
    is another one, so to them the stream does not exist: they are told what they would be told of
    a name nobody has used, by resume, status and cancel alike. Nothing is stored and nothing
    compared, and an endpoint that forgets to ask for the owner finds nothing.

    Args:
        owner: who is asking, as your authentication knows them; never what the client sends.
        name: the stream's name, which clients may know, choose and share.
        key: a secret of at least 16 bytes, the same on every instance. With another one, running
            streams are not found.

    Raises:
        InvalidStreamIdError: an owner or a name that is no text, or is empty.
        InvalidSettingError: a key that is too short.
    """
    if len(key) < _LEAST_KEY:
        raise InvalidSettingError(
            f"key must be at least {_LEAST_KEY} secret bytes, such as os.urandom(32) gives once"
        )
    owned_by, called = _checked(owner), _checked(name)
    # With its length before it, no owner ends where another one's name begins.
    message = b"%d:%b%b" % (len(owned_by), owned_by, called)
    return hmac.new(key, message, hashlib.sha256).hexdigest()


def _checked(value: object) -> bytes:
    if not isinstance(value, str) or not value:
        raise InvalidStreamIdError(
            f"{value!r:.80} is no owner or stream name: pass text that is not empty"
        )
    return value.encode("utf-8", "surrogatepass")
