"""The two ports over a link: a bucket for keys, an outbox and a hub for messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from resumable_stream.adapter_kit import LoopBound
from resumable_stream_nats._bucket import Bucket
from resumable_stream_nats._errors import BACKEND
from resumable_stream_nats._hub import Hub
from resumable_stream_nats._journal import BoundJournal
from resumable_stream_nats._journal_logs import Logs
from resumable_stream_nats._names import subject_of
from resumable_stream_nats._outbox import Outbox
from resumable_stream_nats._setup import Setup

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from nats.aio.client import Client

    from resumable_stream.journal import Journal
    from resumable_stream.ports import Loss, Subscription

# Every server takes this much; its own limit is known once it is connected.
_LEAST_MESSAGE_SIZE = 4096


def open_backend(url: str) -> NatsBackend:
    """Open the backend of a ``nats://`` or ``tls://`` URL."""
    return NatsBackend(url)


class NatsBackend:
    """A backend on NATS with JetStream, nats-server 2.11 or newer.

    Args:
        url: ``nats://[user:password@]host[:port]``, or ``tls://`` to insist on TLS; more servers of
            one cluster after commas; a token in place of user and password. Its query may hold the
            settings below by name, except ``tls`` and ``timeout``, and the files ``tls_ca``,
            ``tls_cert`` and ``tls_key``.
        client: instead of the URL, a connected ``nats.aio.client.Client``. It is shared, and never
            closed; how fast it notices a dead server, and reconnects, is its own setting.
        bucket: the JetStream key-value bucket, created at the first use if it is missing; its name
            is also in that of the journal's stream. An existing one is used as it is: it needs
            per-message TTL and a history of 1. In a bucket
            that this library has created, a renewal is one request. Restore one from a backup only
            a lease after it was deleted, or with all producers stopped.
        storage: ``file`` or ``memory``, for a bucket that is created.
        replicas: 1 to 5, for a bucket that is created; 3 let a cluster survive the loss of a node.
        domain: the JetStream domain that holds the bucket, if it is not the connected server's
            own, as behind a leaf node.
        credentials: a credentials file (``.creds``), with the URL.
        inbox_prefix: what the subjects of answers begin with, with the URL; ``_INBOX`` by default.
            A user with a prefix of its own can keep other users from reading its answers.
        tls: a context for TLS, with the URL; TLS is then required.
        timeout: seconds after which a server that does not answer has failed.

    An argument takes precedence over the URL.

    Raises:
        InvalidSettingError: an invalid setting; the message says what to pass.
        UnsupportedDriverError: nats-py is too old, or not as expected inside.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        client: Client | None = None,
        bucket: str | None = None,
        storage: str | None = None,
        replicas: int | None = None,
        domain: str | None = None,
        credentials: str | Path | None = None,
        inbox_prefix: str | None = None,
        tls: ssl.SSLContext | None = None,
        timeout: float = 5.0,
    ) -> None:
        self._setup = Setup.checked(
            url,
            client=client,
            bucket=bucket,
            storage=storage,
            replicas=replicas,
            domain=domain,
            credentials=credentials,
            inbox_prefix=inbox_prefix,
            tls=tls,
            timeout=timeout,
        )
        self._bound = LoopBound(BACKEND, self._make_parts)
        self._journal = BoundJournal(self._bound)

    @property
    def journal(self) -> Journal:
        """The journal, in a stream beside the bucket: ``JOURNAL_`` and the bucket's name."""
        return self._journal

    @property
    def max_message_size(self) -> int:
        parts = self._bound.parts
        known = None if parts is None else parts.link.max_message_size
        return known or _LEAST_MESSAGE_SIZE

    async def get(self, key: str) -> str | None:
        return await self._bound.get().bucket.get(key)

    async def set(self, key: str, value: str, *, ttl: int) -> None:
        await self._bound.get().bucket.set(key, value, ttl=ttl)

    async def create(self, key: str, value: str, *, ttl: int) -> bool:
        return await self._bound.get().bucket.create(key, value, ttl=ttl)

    async def compare_and_set(self, key: str, expected: str, value: str, *, ttl: int) -> bool:
        return await self._bound.get().bucket.compare_and_set(key, expected, value, ttl=ttl)

    async def renew_many(self, entries: Sequence[tuple[str, str]], *, ttl: int) -> list[bool]:
        return await self._bound.get().bucket.renew_many(entries, ttl=ttl)

    async def delete(self, key: str) -> None:
        await self._bound.get().bucket.delete(key)

    async def publish(self, channel: str, message: bytes) -> None:
        await self.publish_many([(channel, message)])

    async def publish_many(self, messages: Sequence[tuple[str, bytes]]) -> None:
        outbox = self._bound.get().outbox
        if messages:
            await outbox.publish([(subject_of(channel), message) for channel, message in messages])

    async def subscribe(
        self,
        channel: str,
        on_message: Callable[[bytes], None],
        on_loss: Callable[[Loss], None],
    ) -> Subscription:
        return await self._bound.get().hub.subscribe(subject_of(channel), on_message, on_loss)

    async def aclose(self) -> None:
        if (parts := self._bound.close()) is not None:
            await parts.hub.aclose()
            await parts.outbox.aclose()
            await parts.link.aclose()

    def _make_parts(self) -> _Parts:
        return _Parts(self._setup)


class _Parts:
    """The connection of one event loop, and what runs over it."""

    def __init__(self, setup: Setup) -> None:
        self.link = link = setup.make_link()
        self.bucket = Bucket(setup.bucket, link, setup.timeout)
        self.outbox = Outbox(link, setup.timeout)
        self.hub = Hub(link, setup.timeout)
        self.logs = Logs(setup.bucket, link, setup.timeout)

    @property
    def cut_off(self) -> bool:
        """The event loop is being shut down: what is begun now would never finish."""
        return self.hub.cut_off or self.outbox.cut_off or self.link.cut_off
