"""The two ports over a link: a bucket for keys, an outbox and a hub for messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from resumable_stream.adapter_kit import LoopBound
from resumable_stream.errors import InvalidSettingError
from resumable_stream_nats import _driver
from resumable_stream_nats._bucket import Bucket
from resumable_stream_nats._errors import BACKEND
from resumable_stream_nats._hub import Hub
from resumable_stream_nats._names import subject_of
from resumable_stream_nats._outbox import Outbox
from resumable_stream_nats._own_link import OwnLink
from resumable_stream_nats._settings import (
    BucketSettings,
    check_client,
    checked_inbox_prefix,
    checked_timeout,
    checked_url,
    parse_url,
)
from resumable_stream_nats._shared_link import SharedLink

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from nats.aio.client import Client

    from resumable_stream.ports import Loss, Subscription
    from resumable_stream_nats._link import Link
    from resumable_stream_nats._settings import UrlSettings

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
        bucket: the JetStream key-value bucket, created at the first use if it is missing. An
            existing one is used as it is: it needs per-message TTL and a history of 1. In a bucket
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
        _driver.check()
        self._timeout = checked_timeout(timeout)
        if client is not None and url is None:
            check_client(client)
            if not (credentials is None and tls is None and inbox_prefix is None):
                raise InvalidSettingError(
                    "credentials, tls and inbox_prefix belong to a URL: the client has its own"
                )
            self._make_link: Callable[[], Link] = lambda: SharedLink(client)
            given: dict[str, str] = {}
        elif url is not None and client is None:
            settings = parse_url(checked_url(url))
            given = settings.parameters
            self._make_link = _opener(settings, credentials, inbox_prefix, tls, timeout)
        else:
            raise InvalidSettingError("pass either a URL or client=")
        self._bucket_settings = BucketSettings.checked(
            given.get("bucket") if bucket is None else bucket,
            given.get("storage") if storage is None else storage,
            given.get("replicas") if replicas is None else replicas,
            given.get("domain") if domain is None else domain,
        )
        self._bound = LoopBound(BACKEND, self._make_parts)

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
        return _Parts(self._make_link(), self._bucket_settings, self._timeout)


class _Parts:
    """The connection of one event loop, and what runs over it."""

    def __init__(self, link: Link, bucket: BucketSettings, timeout: float) -> None:
        self.link = link
        self.bucket = Bucket(bucket, link, timeout)
        self.outbox = Outbox(link, timeout)
        self.hub = Hub(link, timeout)

    @property
    def cut_off(self) -> bool:
        """The event loop is being shut down: what is begun now would never finish."""
        return self.hub.cut_off or self.outbox.cut_off or self.link.cut_off


def _opener(
    settings: UrlSettings,
    credentials: str | Path | None,
    inbox_prefix: str | None,
    tls: ssl.SSLContext | None,
    timeout: float,
) -> Callable[[], Link]:
    given = settings.parameters
    context = settings.tls() if tls is None else tls
    named = given.get("credentials") if credentials is None else credentials
    inbox = checked_inbox_prefix(
        given.get("inbox_prefix") if inbox_prefix is None else inbox_prefix
    )
    return lambda: OwnLink(settings.servers, named, inbox, context, timeout)
