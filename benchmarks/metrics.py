"""What is measured, and how the tables show it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """How a metric is shown: its name, its unit, and whether more is better.

    ``compared`` is whether its ratio to ours is shown.
    """

    title: str
    unit: str = ""
    more: bool = False
    compared: bool = True


METRICS = {
    "chunks_per_s": Metric("chunks/s", more=True),
    "lag_ms": Metric("loop lag", "ms", compared=False),
    "cpu_us": Metric("producer's CPU per chunk", "µs"),
    "sent": Metric("sent per 1,000", compared=False),
    "p50_ms": Metric("p50", "ms"),
    "p99_ms": Metric("p99", "ms"),
    "own_p50_ms": Metric("own p50", "ms", compared=False),
    "own_p99_ms": Metric("own p99", "ms"),
    "rate": Metric("chunks/s", more=True, compared=False),
    "deliveries_per_s": Metric("deliveries/s", more=True),
    "first_ms": Metric("first", "ms"),
    "caught_up_ms": Metric("caught up", "ms"),
    "cpu_ms": Metric("producer's CPU", "ms"),
    "listener_cpu_us": Metric("listeners' CPU per chunk", "µs"),
    "listener_cpu_ms": Metric("listener's CPU", "ms"),
    "delivered": Metric("delivered", "%", more=True, compared=False),
    "connections": Metric("connections", compared=False),
    "producer_kb": Metric("producer, each", "kB"),
    "listener_kb": Metric("listener, each", "kB"),
    "cpu": Metric("CPU", "%"),
    "memory": Metric("process per MB of text", "MB"),
    "server": Metric("server per MB of text", "MB", compared=False),
    "left_kb": Metric("left, each", "kB", compared=False),
    "keys": Metric("keys left, each", compared=False),
    "eternal_keys": Metric("keys without expiry", compared=False),
    "memory_kb": Metric("memory, each", "kB"),
    "commands_per_s": Metric("commands/s", compared=False),
    "starts_per_s": Metric("starts/s", more=True),
    "server_cpu_us": Metric("server's CPU per chunk", "µs"),
    "status_p50_ms": Metric("status p50", "ms"),
    "status_p99_ms": Metric("status p99", "ms"),
    "rate_beside": Metric("chunks/s beside None", "%", more=True, compared=False),
    "cpu_beside": Metric("CPU beside None", "%", compared=False),
    "received_kb": Metric("received per 1,000", "kB", compared=False),
    "import_ms": Metric("import", "ms"),
    "import_cpu_ms": Metric("its CPU", "ms"),
    "drivers": Metric("drivers imported", compared=False),
}
