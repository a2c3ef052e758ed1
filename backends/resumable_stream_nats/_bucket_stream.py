"""The JetStream stream beneath a bucket: what it needs, and how a key is read from it."""

from __future__ import annotations

from base64 import b64decode
from typing import TYPE_CHECKING, Any, NamedTuple

from resumable_stream_nats._errors import unusable
from resumable_stream_nats._kept_stream import KeptStream, Kind, headers_of
from resumable_stream_nats._names import subject_of

if TYPE_CHECKING:
    from resumable_stream_nats._jetstream import JetStream
    from resumable_stream_nats._kept_stream import Config
    from resumable_stream_nats._link import Link
    from resumable_stream_nats._settings import BucketSettings

OPERATION = "KV-Operation"
_MARKER = "Nats-Marker-Reason"


class Entry(NamedTuple):
    """The last message of a key: ``value`` is None where it marks a removal."""

    value: bytes | None
    revision: int


ABSENT = Entry(None, 0)


class BucketStream(KeptStream):
    def __init__(self, settings: BucketSettings, jetstream: JetStream, link: Link) -> None:
        kind = Kind(
            noun=f"bucket {settings.name!r}",
            stream=f"KV_{settings.name}",
            subject=f"$KV.{settings.name}.",
            description="resumable-stream: who produces which stream, and how it ended",
            settings={"max_msgs_per_subject": 1, "allow_rollup_hdrs": True},
            needs="per-message TTL and a history of 1",
            check=self._check,
        )
        super().__init__(kind, settings, jetstream, link)

    async def last(self, key: str, until: float) -> Entry:
        """Return the last message of a key, as the stream's leader knows it."""
        wanted = {"last_by_subj": self._kind.subject + subject_of(key)}
        return await self.ask("MSG.GET", wanted, _entry, until)

    def _check(self, config: Config) -> None:
        noun, subject = self._kind.noun, self._kind.subject
        if f"{subject}>" not in (config.get("subjects") or ()):
            raise unusable(
                f"{noun} is no key-value bucket: its stream {self._kind.stream} has other subjects "
                f"than {subject}>; choose another bucket"
            )
        if (history := config.get("max_msgs_per_subject")) != 1:
            raise unusable(
                f"{noun} keeps a history of {history}, from which expired keys "
                "would come back: set it to 1 (max_msgs_per_subject)"
            )


def _entry(answer: dict[str, Any]) -> Entry:
    message = answer["message"]
    headers = headers_of(message)
    revision = int(message["seq"])
    if _MARKER in headers or headers.get(OPERATION) in ("DEL", "PURGE"):
        return Entry(None, revision)
    return Entry(b64decode(message.get("data") or ""), revision)
