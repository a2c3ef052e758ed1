"""The JetStream stream beneath a journal: what it needs, and how a record is read from it."""

from __future__ import annotations

import asyncio
import json
import logging
from base64 import b64decode
from typing import TYPE_CHECKING, Any

import nats.errors
from nats.js import errors as js_errors

from resumable_stream_nats._errors import DeniedError, refused, unusable
from resumable_stream_nats._jetstream import NO_HEADERS
from resumable_stream_nats._journal_batch import BATCH_BYTES, INDEX, Batch, Record
from resumable_stream_nats._kept_stream import KeptStream, Kind, headers_of
from resumable_stream_nats._line import MAX_MESSAGE_SIZE
from resumable_stream_nats._names import subject_of

if TYPE_CHECKING:
    from resumable_stream_nats._jetstream import JetStream
    from resumable_stream_nats._journal_batch import Following, Run
    from resumable_stream_nats._kept_stream import Config
    from resumable_stream_nats._link import Link
    from resumable_stream_nats._settings import BucketSettings

logger = logging.getLogger("resumable_stream")

# The most records that are asked for at once.
_MOST_RECORDS = 1000
# Headers count, too, where a batch is bounded.
_HEADERS_SIZE = 256
# A replica that has not answered after this part of the time is passed over.
_PATIENCE = 1 / 4

# What a stream may be set to, and what an operator has to set it to otherwise.
_NEEDED: dict[str, tuple[tuple[object, ...], str]] = {
    "retention": (("limits",), "limits"),
    "discard": (("new",), "new: else a full stream drops records that have not expired"),
    "max_msgs_per_subject": ((None, 0, -1), "-1: else the front of a log is dropped"),
    "subject_delete_marker_ttl": ((None, 0), "0: a marker is no record"),
    "deny_purge": ((None, False), "false: else no log can be deleted"),
}


class JournalStream(KeptStream):
    """One stream for all logs, each of which has a subject."""

    def __init__(self, settings: BucketSettings, jetstream: JetStream, link: Link) -> None:
        stream = f"JOURNAL_{settings.name}"
        kind = Kind(
            noun=f"journal {stream!r}",
            stream=stream,
            # Below $KV, so that only the domain that is meant hears it.
            subject=f"$KV.{stream}.",
            description="resumable-stream: the text of streams",
            settings={"allow_direct": True},
            needs=f"the subjects $KV.{stream}.>, per-message TTL and discard: new",
            check=self._check,
        )
        super().__init__(kind, settings, jetstream, link)
        self._direct = False

    async def last(self, log: str, until: float) -> Record | None:
        """Return the last record of a log, as the stream's leader knows it."""
        return await self._get({"last_by_subj": self.subject(log)}, until)

    async def next(self, log: str, sequence: int, until: float) -> Record | None:
        """Return the first record of a log with this sequence number or a later one."""
        return await self._get({"seq": sequence, "next_by_subj": self.subject(log)}, until)

    async def after(self, log: str, run: Run, until: float) -> Following | None:
        """Return records that may follow those of a run, as any replica has them.

        The newest may be missing. None: no replica answers, or may be asked.
        """
        if not self._direct:
            return None
        count = min(run.may_come, _MOST_RECORDS)
        wanted = {
            "seq": run.place,
            "next_by_subj": self.subject(log),
            "batch": count,
            "max_bytes": min(run.room + count * _HEADERS_SIZE, BATCH_BYTES),
        }
        subject = f"{self._api_prefix}.DIRECT.GET.{self._kind.stream}"
        line = self._link.present or await self._link.reach(until)
        loop, batch = asyncio.get_running_loop(), Batch()
        patience = loop.time() + (until - loop.time()) * _PATIENCE
        try:
            await line.ask(
                subject, NO_HEADERS, json.dumps(wanted).encode(), until=patience, into=batch
            )
        except (OSError, TimeoutError, nats.errors.Error) as error:
            logger.debug("nats: the journal is read from its leader only: %r", error)
            self._direct = not isinstance(error, DeniedError)
        return batch.following

    def subject(self, log: str) -> str:
        return self._kind.subject + subject_of(log)

    async def _get(self, wanted: Config, until: float) -> Record | None:
        while True:
            if not self.ready:
                await self.prepare(until)
            try:
                return await self.ask("MSG.GET", wanted, self._record, until)
            except js_errors.NotFoundError:
                return None  # a stream that is gone holds nothing; a write makes a new one
            except js_errors.ServiceUnavailableError as error:
                await self.look_again(error, until)
            except nats.errors.Error as error:
                raise refused(error) from error

    def _record(self, answer: dict[str, Any]) -> Record:
        message = answer["message"]
        index = headers_of(message).get(INDEX, "")
        if not index.isdecimal():
            raise unusable(
                f"{self._kind.noun} holds what is no record, at {message['subject']}: have no "
                f"other program write below {self._kind.subject}"
            )
        return Record(int(index), int(message["seq"]), b64decode(message.get("data") or ""))

    def _check(self, config: Config) -> None:
        noun, subject = self._kind.noun, self._kind.subject
        if f"{subject}>" not in (config.get("subjects") or ()):
            raise unusable(f"{noun} does not have the subjects {subject}>: add them to its stream")
        for name, (allowed, remedy) in _NEEDED.items():
            if (found := config.get(name)) not in allowed:
                raise unusable(f"{noun} has {name} {found}: set it to {remedy}")
        most = config.get("max_msg_size") or -1
        if 0 < most < MAX_MESSAGE_SIZE:
            raise unusable(
                f"{noun} has max_msg_size {most}: set it to {MAX_MESSAGE_SIZE} or more, or to -1"
            )
        self._direct = bool(config.get("allow_direct"))
