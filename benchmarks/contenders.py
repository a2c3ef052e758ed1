"""The contenders: everything that is measured."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    OURS = "ours"
    PEER = "peer"
    FLOOR = "floor"


@dataclass(frozen=True)
class Contender:
    """One way to carry a stream.

    Attributes:
        name: its name in tables and commands.
        adapter: its module in ``agent.adapters``; None for the program of Node.js.
        environment: the environment with its packages, by a name of ``environments``.
        broker: "redis" or "nats"; None if it has none, and works in one process.
        store: whether it keeps each chunk at the broker, so that its source waits for the broker.
        application: how it takes part in the workloads through HTTP, and in no others: a function
            of a module of ``agent.web``, or "node".
        journal: where it keeps text, if not beside its messages: "sqlite". It takes part in the
            workloads that keep text, and in no others.
    """

    name: str
    kind: Kind
    adapter: str | None = None
    environment: str = "main"
    broker: str | None = None
    store: bool = False
    url: str | None = None
    application: str | None = None
    journal: str | None = None

    @property
    def remote(self) -> bool:
        """Whether other processes can read its streams."""
        return self.broker is not None

    @property
    def listens(self) -> bool:
        """Whether a listener can attach at all."""
        return self.adapter not in {"bare_queue", "bare_source"}


OURS_REDIS = Contender("ours on Redis", Kind.OURS, "ours", broker="redis")
OURS_NATS = Contender("ours on NATS", Kind.OURS, "ours", broker="nats")
OURS_MEMORY = Contender("ours in memory", Kind.OURS, "ours", url="memory://benchmark")
OURS_UVLOOP = Contender("ours on Redis with uvloop", Kind.OURS, "ours", "uvloop", "redis")
OURS_SQLITE = Contender(
    "ours on Redis with SQLite", Kind.OURS, "ours", broker="redis", journal="sqlite"
)
NPM = Contender("npm resumable-stream", Kind.PEER, None, "npm", "redis")
PYTHON_PEER = Contender(
    "PyPI resumable-stream", Kind.PEER, "python_resumable_stream", "resumable-stream", "redis"
)
ASSISTANT = Contender(
    "assistant-stream", Kind.PEER, "assistant_stream", "assistant-stream", "redis", store=True
)
FASTAPI = Contender(
    "fastapi-resumable-stream",
    Kind.PEER,
    "fastapi_resumable_stream",
    "fastapi-resumable-stream",
    "redis",
    store=True,
)
HIREDIS = Contender("bare hiredis", Kind.FLOOR, "bare_hiredis", broker="redis")
FRAMES = Contender("bare frames", Kind.FLOOR, "bare_frames", broker="redis")
REDIS_PY = Contender("bare redis-py", Kind.FLOOR, "bare_redis_py", broker="redis")
NATS_PY = Contender("bare nats-py", Kind.FLOOR, "bare_nats_py", broker="nats")
QUEUE = Contender("bare asyncio.Queue", Kind.FLOOR, "bare_queue")
SOURCE = Contender("bare source", Kind.FLOOR, "bare_source")
OURS_SSE = Contender(
    "ours: sse_response", Kind.OURS, "ours", broker="redis", application="ours.events"
)
OURS_RUNS = Contender(
    "ours: a body of runs", Kind.OURS, "ours", broker="redis", application="ours.runs"
)
OURS_CHUNKS = Contender(
    "ours: a body of chunks", Kind.OURS, "ours", broker="redis", application="ours.chunks"
)
NPM_HTTP = Contender(
    "npm resumable-stream and http", Kind.PEER, None, "npm", "redis", application="node"
)
SSE_STARLETTE = Contender(
    "sse-starlette", Kind.PEER, "bare_fanout", application="bare.sse_starlette"
)
# The floor behind buffered chunks, in one process, and the floor of everything else, in two.
STARLETTE = Contender("bare Starlette", Kind.FLOOR, "bare_fanout", application="bare.finished")
QUEUES = Contender(
    "bare Starlette and hiredis",
    Kind.FLOOR,
    "bare_hiredis",
    broker="redis",
    application="bare.queues",
)

ALL = (
    OURS_REDIS,
    OURS_NATS,
    OURS_MEMORY,
    OURS_UVLOOP,
    OURS_SQLITE,
    NPM,
    PYTHON_PEER,
    ASSISTANT,
    FASTAPI,
    HIREDIS,
    FRAMES,
    REDIS_PY,
    NATS_PY,
    QUEUE,
    SOURCE,
    OURS_SSE,
    OURS_RUNS,
    OURS_CHUNKS,
    NPM_HTTP,
    SSE_STARLETTE,
    STARLETTE,
    QUEUES,
)
