"""How a worker opens its context, by the settings that its test gives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from processes.holds import HeldBackend, HeldJournal, Holds
from resumable_stream import Options, create_resumable_stream_context
from resumable_stream._registry import find_journal_opener, find_opener
from resumable_stream_conformance._journal_wrapper import journal_of

if TYPE_CHECKING:
    from resumable_stream import ResumableStreamContext
    from resumable_stream.ports import Backend


class Opening:
    """A context, and what it does not close itself.

    Attributes:
        context: the context.
        holds: where its streams are held, if the settings ask for that.
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        self.holds = Holds()
        self._settings = settings
        self._closing: list[Any] = []
        options = Options(**settings["options"])
        url, journal = settings.get("url"), settings.get("journal")
        self.context: ResumableStreamContext
        if url is None:
            backend: Backend = self._of_client()
            self.context = create_resumable_stream_context(backend=backend, options=options)
        elif settings.get("holds"):
            backend = self._kept(find_opener(url)(url))
            inner: Any = journal_of(backend)
            if journal:
                inner = self._kept(find_journal_opener(journal)(journal))
            self.context = create_resumable_stream_context(
                backend=HeldBackend(backend, self.holds),
                journal=HeldJournal(inner, self.holds),
                options=options,
            )
        else:
            self.context = create_resumable_stream_context(url, journal=journal, options=options)

    async def aclose(self, drain_timeout: float) -> None:
        await self.context.aclose(drain_timeout)
        for opened in self._closing:
            await opened.aclose()

    def _kept(self, opened: Any) -> Any:
        self._closing.append(opened)
        return opened

    def _of_client(self) -> Backend:
        # The one place that imports a driver: a URL cannot name these clients.
        from redis.asyncio.cluster import ClusterNode, RedisCluster  # noqa: PLC0415
        from redis.asyncio.sentinel import Sentinel  # noqa: PLC0415

        from resumable_stream_redis import RedisBackend  # noqa: PLC0415

        if ports := self._settings.get("cluster"):
            nodes = [ClusterNode("127.0.0.1", port) for port in ports]
            client = self._kept(RedisCluster(startup_nodes=nodes))
        else:
            make: Any = Sentinel
            manager = make([tuple(address) for address in self._settings["sentinels"]])
            client = self._kept(manager.master_for(self._settings["service"]))
        return RedisBackend(client=client, timeout=2)
