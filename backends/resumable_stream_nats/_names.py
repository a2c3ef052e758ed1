"""Keys and channels as NATS subjects: legal, bounded, and no two alike.

``:`` becomes the dot between two tokens, so that rights can be given by prefix. Within a token,
letters, digits, ``-`` and ``_`` stay; of any other character each byte of its UTF-8 becomes
``=XX``. An empty token is ``=``. What would be too long keeps the leading tokens that fit and ends
in ``=h`` and the SHA-256 of the whole name, as no other name does. A leading ``_`` is written
``=5F``: subjects that start with it are NATS's own.
"""

from __future__ import annotations

import re
from functools import lru_cache
from hashlib import sha256

MAX_SUBJECT = 255

_ESCAPED = re.compile(r"[^A-Za-z0-9_-]")
# The usual name, of which nothing has to be escaped.
_PLAIN = re.compile(r"[A-Za-z0-9-][A-Za-z0-9_-]*(?::[A-Za-z0-9_-]+)*")
_HASH_LENGTH = len(".=h") + 2 * sha256().digest_size


def subject_of(name: str) -> str:
    """Return the subject, or the key within a bucket, of a key or channel."""
    if len(name) <= MAX_SUBJECT and _PLAIN.fullmatch(name):
        return name.replace(":", ".")
    return _escaped_subject_of(name)


@lru_cache(maxsize=4096)
def _escaped_subject_of(name: str) -> str:
    tokens = [_ESCAPED.sub(_escaped, part) or "=" for part in name.split(":")]
    if tokens[0].startswith("_"):
        tokens[0] = f"=5F{tokens[0][1:]}"
    subject = ".".join(tokens)
    if len(subject) <= MAX_SUBJECT:
        return subject
    digest = sha256(name.encode()).hexdigest()
    return ".".join([*_leading(tokens), f"=h{digest}"])


def _escaped(character: re.Match[str]) -> str:
    return "".join(f"={byte:02X}" for byte in character[0].encode())


def _leading(tokens: list[str]) -> list[str]:
    """Return as many of the first tokens as leave room for the hash."""
    room = MAX_SUBJECT - _HASH_LENGTH
    kept: list[str] = []
    for token in tokens:
        room -= len(token) + bool(kept)
        if room < 0:
            break
        kept.append(token)
    return kept
