"""A pipe to each server that was asked, and the redirections of a cluster between them."""

from __future__ import annotations

import asyncio
import hashlib
from functools import partial
from typing import TYPE_CHECKING

from redis.exceptions import (
    AskError,
    ClusterDownError,
    MovedError,
    NoScriptError,
    TryAgainError,
)

from resumable_stream.errors import BackendUnavailableError
from resumable_stream_redis._errors import failed
from resumable_stream_redis._pipe import Pipe
from resumable_stream_redis._wire import pack

if TYPE_CHECKING:
    from collections.abc import Sequence

    from resumable_stream_redis._topology import Topology

_MAX_REDIRECTIONS = 5
_TRY_AGAIN_DELAY = 0.05


class Script:
    """A script about keys of one node, which a server runs by its digest once it has seen it."""

    def __init__(self, source: bytes) -> None:
        self.source = source
        self.digest = hashlib.sha1(source, usedforsecurity=False).hexdigest().encode()


class Nodes:
    """The nodes that were asked, with a connection to each; without a cluster, one node.

    Args:
        topology: knows the nodes.
        timeout: seconds after which a node that does not answer has failed.
        watched: each connection is watched for whether it leads to the right server; if not, the
            owner calls ``renew``.
        at_once: the most commands of ``execute`` that one node has to answer; others wait.
    """

    def __init__(
        self,
        topology: Topology,
        timeout: float,
        *,
        watched: bool = False,
        at_once: int | None = None,
    ) -> None:
        self._topology = topology
        self._timeout = timeout
        self._watch = topology.watch if watched else None
        self._at_once = at_once
        self._pipes: dict[str, Pipe] = {}
        self._turns: dict[str, asyncio.Semaphore] = {}

    @property
    def cut_off(self) -> bool:
        """The event loop is being shut down."""
        for pipe in self._pipes.values():  # noqa: SIM110 - every call asks this, and ``any`` takes longer
            if pipe.cut_off:
                return True
        return False

    def pipe(self, node: str) -> Pipe:
        pipe = self._pipes.get(node)
        if pipe is None:
            opening = partial(self._topology.open, node)
            pipe = self._pipes[node] = Pipe(opening, self._timeout, self._watch)
        return pipe

    async def execute(self, key: bytes, *command: bytes, write: bool) -> object:
        """Run a command on the node that has the key, and follow the cluster's redirections.

        Raises:
            RedisError: the server refused the command.
            BackendUnavailableError: certainly not executed, or only a read.
            OutcomeUnknownError: perhaps executed.
        """
        commands = [pack(*command)]
        try:
            node = await self._topology.locate(key, self._timeout)
        except Exception as error:
            raise failed(error) from error
        for _ in range(_MAX_REDIRECTIONS):
            try:
                return await self._call(node, commands, write=write)
            except MovedError as error:
                node = self._topology.redirected(node, error)
                commands = commands[-1:]
            except AskError as error:
                node = self._topology.redirected(node, error)
                commands = [pack(b"ASKING"), commands[-1]]
            except TryAgainError:
                await asyncio.sleep(_TRY_AGAIN_DELAY)
            except ClusterDownError:
                self._topology.renew()
                raise
        raise BackendUnavailableError("the cluster keeps redirecting: it is being rearranged")

    async def run(
        self, script: Script, keys: Sequence[bytes], *arguments: bytes, write: bool
    ) -> object:
        """Run a script on the node that has its keys; raise what ``execute`` raises."""
        key, arguments = keys[0], (b"%d" % len(keys), *keys, *arguments)
        try:
            return await self.execute(key, b"EVALSHA", script.digest, *arguments, write=write)
        except NoScriptError:
            # The server said that it has not run the script: nothing is repeated.
            return await self.execute(key, b"EVAL", script.source, *arguments, write=write)

    async def _call(self, node: str, commands: Sequence[Sequence[bytes]], *, write: bool) -> object:
        if self._at_once is None:
            return await self.pipe(node).call(commands, write=write)
        turns = self._turns.get(node)
        if turns is None:
            turns = self._turns[node] = asyncio.Semaphore(self._at_once)
        async with turns:
            return await self.pipe(node).call(commands, write=write)

    def renew(self) -> None:
        """Change to new connections once all that was sent over the present ones is answered."""
        for pipe in self._pipes.values():
            pipe.renew()

    async def aclose(self) -> None:
        for pipe in self._pipes.values():
            await pipe.aclose()
