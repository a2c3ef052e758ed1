"""The brokers that the process tests run on, each with the same handles to break and to look."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, Self

from support.nats_servers import NatsServer
from support.servers import ValkeyServer

if TYPE_CHECKING:
    from collections.abc import Callable


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
    """A server of the test's own, which restarts empty and on the same port."""

    port: int

    @property
    def url(self) -> str: ...

    def url_at(self, port: int) -> str:
        """The URL of the same server behind a proxy."""
        ...

    def footprint(self) -> Footprint:
        """Look past the code under test, and do not count the looking."""
        ...

    def kill(self) -> None: ...

    def start(self) -> object: ...

    def restart(self) -> None: ...

    def freeze(self) -> None: ...

    def thaw(self) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


class RedisBroker(ValkeyServer):
    def url_at(self, port: int) -> str:
        return f"redis://127.0.0.1:{port}/0"

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

    def commands(self) -> dict[str, int]:
        """How often each command was executed so far."""
        with self.client() as client:
            stats: dict[str, Any] = client.info("commandstats")
        return {name.removeprefix("cmdstat_"): entry["calls"] for name, entry in stats.items()}


class NatsBroker(NatsServer):
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


BROKERS: dict[str, Callable[[], Broker]] = {"redis": RedisBroker, "nats": NatsBroker}
