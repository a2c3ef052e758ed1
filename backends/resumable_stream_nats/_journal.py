"""The journal of a backend, and one that is used apart from a backend."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from resumable_stream.adapter_kit import LoopBound
from resumable_stream_nats._errors import BACKEND
from resumable_stream_nats._journal_logs import LEAST_RECORD_SIZE, Logs
from resumable_stream_nats._setup import Setup

if TYPE_CHECKING:
    import ssl
    from collections.abc import Sequence
    from pathlib import Path

    from nats.aio.client import Client


class _Parts(Protocol):
    logs: Logs

    @property
    def cut_off(self) -> bool: ...


P = TypeVar("P", bound=_Parts)


class BoundJournal(Generic[P]):
    """A journal over a connection that another opens and closes."""

    def __init__(self, bound: LoopBound[P]) -> None:
        self._bound = bound

    @property
    def max_record_size(self) -> int:
        parts = self._bound.parts
        return LEAST_RECORD_SIZE if parts is None else parts.logs.max_record_size

    async def append(self, log: str, index: int, record: bytes, *, ttl: int) -> bool:
        return await self._bound.get().logs.append(log, index, record, ttl=ttl)

    async def read(self, log: str, index: int, *, max_bytes: int) -> Sequence[bytes] | None:
        return await self._bound.get().logs.read(log, index, max_bytes=max_bytes)

    async def delete(self, log: str) -> None:
        await self._bound.get().logs.delete(log)


class _OwnParts:
    """The connection of one event loop, and the logs over it."""

    def __init__(self, setup: Setup) -> None:
        self.link = setup.make_link()
        self.logs = Logs(setup.bucket, self.link, setup.timeout)

    @property
    def cut_off(self) -> bool:
        return self.link.cut_off


class NatsJournal(BoundJournal[_OwnParts]):
    """A journal on NATS with JetStream, for text that rests elsewhere than messages go.

    A ``NatsBackend`` has one of its own. Each log is a subject of the stream ``JOURNAL_`` and the
    bucket's name, which is created at the first use if it is missing. An existing one is used as it
    is: it needs the subjects ``$KV.``, its name and ``.>``, per-message TTL and ``discard: new``.
    Each append then also costs a read.

    Args:
        url: as of a ``NatsBackend``, and so are all settings.
        client: instead of the URL, a connected ``nats.aio.client.Client``, which is never closed.
        bucket: names the stream.
        storage: ``file`` or ``memory``, for a stream that is created.
        replicas: 1 to 5, for a stream that is created.
        domain: the JetStream domain that holds the stream.
        credentials: a credentials file (``.creds``), with the URL.
        inbox_prefix: what the subjects of answers begin with, with the URL.
        tls: a context for TLS, with the URL; TLS is then required.
        timeout: seconds after which a server that does not answer has failed.

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
        setup = Setup.checked(
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
        super().__init__(LoopBound(BACKEND, lambda: _OwnParts(setup)))

    async def aclose(self) -> None:
        if (parts := self._bound.close()) is not None:
            await parts.link.aclose()


def open_journal(url: str) -> NatsJournal:
    """Open the journal of a ``nats://`` or ``tls://`` URL."""
    return NatsJournal(url)
