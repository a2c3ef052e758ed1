"""Servers that one test starts for itself; every kind is used, broken and inspected alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self

import pytest
from nats.js.errors import NotFoundError

from resumable_stream.errors import BackendUnavailableError, OutcomeUnknownError
from resumable_stream_nats import NatsBackend
from resumable_stream_nats._names import subject_of
from resumable_stream_redis import RedisBackend
from support.nats_servers import BUCKET, STREAM, NatsServer
from support.servers import ValkeyServer

if TYPE_CHECKING:
    from nats.aio.client import Client

    from resumable_stream.errors import BackendError
    from resumable_stream.ports import Backend


@dataclass(frozen=True)
class Footprint:
    """What a broker holds for its clients."""

    connections: int
    subscribers: int
    """Connections that are subscribed to something."""
    channels: int
    keys: int
    lasting_keys: int
    """Keys without a time to live."""


class Broker(Protocol):
    """A server that one test starts for itself; it restarts empty, on the same port.

    The methods that inspect it bypass the code under test, and do not count themselves.
    """

    port: int

    ping_interval: ClassVar[str]
    """The full name of the constant that says how often the backend pings the server."""
    unsent_compare: ClassVar[type[BackendError]]
    """The error of a ``compare_and_set`` that the server does not answer."""
    recovers_at_once: ClassVar[bool]
    """Whether the first call after an outage succeeds; else it may find its connection gone."""

    @classmethod
    def strict(cls) -> Self:
        """Return a server that cuts off clients that read too slowly."""
        ...

    @property
    def url(self) -> str: ...

    def url_at(self, port: int, login: str = "") -> str:
        """Return the URL of the server through a proxy on this port."""
        ...

    def open(self, port: int | None = None, *, timeout: float = 5.0, login: str = "") -> Backend:
        """Open a backend on the server, or on a proxy that listens on ``port``."""
        ...

    def footprint(self) -> Footprint: ...

    def connected(self) -> int:
        """Return how many connections there are."""
        ...

    def channels(self) -> list[str]:
        """Return the subscribed channels, under the server's own names."""
        ...

    def named(self, channel: str) -> str:
        """Return the server's own name of a channel."""
        ...

    def value(self, key: str) -> str | None: ...

    def writes(self) -> int:
        """Return how many writes the server has executed since it started."""
        ...

    def has_cut_off(self) -> bool:
        """Tell whether the server has cut off its only subscriber."""
        ...

    def kill(self) -> None: ...

    def start(self) -> object: ...

    def restart(self) -> None: ...

    def freeze(self) -> None: ...

    def thaw(self) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


class RedisBroker(ValkeyServer):
    ping_interval: ClassVar[str] = "resumable_stream_redis._hub.PING_INTERVAL"
    unsent_compare: ClassVar[type[BackendError]] = OutcomeUnknownError
    recovers_at_once: ClassVar[bool] = True

    @classmethod
    def strict(cls) -> Self:
        return cls("--client-output-buffer-limit", "pubsub 1mb 1mb 1")

    def url_at(self, port: int, login: str = "") -> str:
        return f"redis://{login}127.0.0.1:{port}/0"

    def open(self, port: int | None = None, *, timeout: float = 5.0, login: str = "") -> Backend:
        return RedisBackend(self.url_at(port or self.port, login), timeout=timeout)

    def footprint(self) -> Footprint:
        with self.client() as client:
            own = client.client_id()
            others = [one for one in client.client_list() if int(one["id"]) != own]
            keys = list(client.scan_iter(count=1000))
            return Footprint(
                connections=len(others),
                subscribers=sum(int(one["sub"]) > 0 for one in others),
                channels=len(client.pubsub_channels()),
                keys=len(keys),
                lasting_keys=sum(client.ttl(key) == -1 for key in keys),
            )

    def connected(self) -> int:
        with self.client() as client:
            return len(client.client_list()) - 1

    def channels(self) -> list[str]:
        with self.client() as client:
            return list(client.pubsub_channels())

    def named(self, channel: str) -> str:
        return channel

    def value(self, key: str) -> str | None:
        with self.client() as client:
            found: str | None = client.get(key)
            return found

    def writes(self) -> int:
        return self.commands().get("set", 0)

    def has_cut_off(self) -> bool:
        with self.client() as client:
            return not any(int(one["sub"]) for one in client.client_list())

    def commands(self) -> dict[str, int]:
        """Return how often each command has been executed."""
        with self.client() as client:
            stats: dict[str, Any] = client.info("commandstats")
        return {name.removeprefix("cmdstat_"): entry["calls"] for name, entry in stats.items()}


class NatsBroker(NatsServer):
    ping_interval: ClassVar[str] = "resumable_stream_nats._own_link.PING_INTERVAL"
    # The backend reads before it writes, so the write was certainly not executed.
    unsent_compare: ClassVar[type[BackendError]] = BackendUnavailableError
    recovers_at_once: ClassVar[bool] = False

    @classmethod
    def strict(cls) -> Self:
        return cls('max_pending: 1MB, write_deadline: "1s"')

    def url_at(self, port: int, login: str = "") -> str:
        return f"nats://{login}127.0.0.1:{port}?storage={self.storage}"

    def open(self, port: int | None = None, *, timeout: float = 5.0, login: str = "") -> Backend:
        return NatsBackend(self.url_at(port or self.port, login), timeout=timeout)

    def footprint(self) -> Footprint:
        connections = self.connections()
        keys = self.headers()
        return Footprint(
            connections=len(connections),
            subscribers=sum(one["subscriptions"] > 0 for one in connections),
            channels=len(self.subjects()),
            keys=len(keys),
            lasting_keys=sum("Nats-TTL" not in headers for headers in keys),
        )

    def connected(self) -> int:
        return len(self.connections())

    def channels(self) -> list[str]:
        return self.subjects()

    def named(self, channel: str) -> str:
        return subject_of(channel)

    def value(self, key: str) -> str | None:
        async def read(client: Client) -> str | None:
            subject = f"$KV.{BUCKET}.{subject_of(key)}"
            try:
                found = await client.jetstream().get_last_msg(STREAM, subject)
            except NotFoundError:
                return None
            return (found.data or b"").decode()

        return self.ask(read)

    def writes(self) -> int:
        """How many writes were executed since the first one whose key is still there."""
        state = self.ask(lambda client: client.jetstream().stream_info(STREAM)).state
        return state.last_seq - state.first_seq + 1

    def has_cut_off(self) -> bool:
        return bool(self.look("varz")["slow_consumers"])


BROKERS: dict[str, type[Broker]] = {"redis": RedisBroker, "nats": NatsBroker}

# For tests of what hardly differs between brokers: most runs leave NATS out.
MOSTLY_ON_REDIS = pytest.mark.parametrize(
    "broker", ["redis", pytest.param("nats", marks=pytest.mark.long)], indirect=True
)
