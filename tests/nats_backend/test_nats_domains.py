"""The backend behind a leaf node, with the keys on servers in another JetStream domain."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING

import nats
import pytest

from resumable_stream import create_resumable_stream_context
from resumable_stream.errors import BackendUnavailableError
from resumable_stream_nats import NatsBackend, NatsJournal
from support.calls import use
from support.nats_journals import JOURNAL, LOG
from support.nats_servers import BUCKET, STREAM, NatsServer
from support.nats_users import url_of, users
from support.servers import free_port, wait_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

NAME = "resumable-stream:rs:sentinel:x"


@contextmanager
def leaf_and_hub(config: str = "", remote: str = "") -> Iterator[tuple[NatsServer, NatsServer]]:
    """Two servers, each with its own domain; only the leaf knows the address of the other."""
    port = free_port()
    hub = NatsServer(f"leafnodes: {{listen: 127.0.0.1:{port}}}", domain="hub")
    remotes = f"remotes: [{{url: nats-leaf://127.0.0.1:{port}{remote}}}]"
    leaf = NatsServer(f"leafnodes: {{{remotes}}}\n{config}", domain="leaf")
    with hub, leaf:
        wait_until(lambda: leaf.look("leafz")["leafnodes"] == 1, "the leaf to find its hub")
        yield leaf, hub


def buckets(server: NatsServer) -> list[str]:
    accounts = server.look("jsz?streams=1&accounts=1").get("account_details", [])
    return [stream["name"] for one in accounts for stream in one.get("stream_detail", [])]


async def test_keys_are_kept_in_the_domain() -> None:
    with leaf_and_hub() as (leaf, hub):
        for backend in (
            NatsBackend(leaf.url, domain="hub"),
            NatsBackend(f"{leaf.url}&domain=hub"),
            NatsBackend(f"{hub.url}&domain=hub"),
        ):
            await use(backend, NAME)
            await backend.aclose()
        async with await nats.connect(leaf.address) as client:
            await use(NatsBackend(client=client, domain="hub"), NAME)
        assert (buckets(leaf), buckets(hub)) == ([], [STREAM])
        near = NatsBackend(leaf.url)
        await use(near, NAME)
        await near.aclose()
        assert (buckets(leaf), buckets(hub)) == ([STREAM], [STREAM])


async def test_text_is_kept_in_the_domain() -> None:
    with leaf_and_hub() as (leaf, hub):
        far = NatsJournal(leaf.url, domain="hub")
        there = NatsJournal(hub.url)
        assert await far.append(LOG, 0, b"far", ttl=60)
        largest = bytes(far.max_record_size)
        assert await far.append(LOG, 1, largest, ttl=60)
        assert not await there.append(LOG, 1, b"there", ttl=60)
        for journal in (far, there):
            assert await journal.read(LOG, 0, max_bytes=2**20) == [b"far", largest]
        assert (buckets(leaf), buckets(hub)) == ([], [JOURNAL])
        near = NatsJournal(leaf.url)
        assert await near.append(LOG, 0, b"near", ttl=60)
        assert await far.append(LOG, 2, b"far", ttl=60)
        await far.delete(LOG)
        assert await there.read(LOG, 0, max_bytes=9) == []
        assert await near.read(LOG, 0, max_bytes=9) == [b"near"]
        for journal in (far, there, near):
            await journal.aclose()


async def test_unknown_domain_is_told() -> None:
    with NatsServer(domain="hub") as server:
        backend = NatsBackend(server.url, domain="nowhere")
        for call in (backend.get(NAME), backend.create(NAME, "v", ttl=5)):
            with pytest.raises(BackendUnavailableError, match="check the domain"):
                await call
        await backend.aclose()


async def test_stream_is_resumed_across_the_leaf() -> None:
    joined = asyncio.Event()

    async def source() -> AsyncIterator[str]:
        for number in range(100):
            yield f"{number} "
            if number == 50:
                await joined.wait()

    with leaf_and_hub() as (leaf, hub):
        async with (
            create_resumable_stream_context(hub.url) as here,
            create_resumable_stream_context(f"{leaf.url}&domain=hub") as there,
        ):
            stream = await here.create_new_resumable_stream("shared", source)
            resumed = await there.resume_existing_stream("shared")
            assert resumed
            joined.set()
            text = "".join(map("{} ".format, range(100)))
            for reader in (stream, resumed):
                assert "".join([chunk async for chunk in reader]) == text
            assert (await there.stream_status("shared")).state == "completed"


async def test_least_rights_in_a_domain_suffice() -> None:
    talk = ["resumable-stream.rs.>"]
    api = ["STREAM.INFO", "STREAM.MSG.GET", "STREAM.CREATE"]
    keys = [f"$JS.hub.API.{request}.{STREAM}" for request in api]
    publish = [*talk, *keys, f"$JS.hub.API.$KV.{BUCKET}.>"]
    with leaf_and_hub(users(least=(publish, [*talk, "_INBOX.>"])), ", account: ALL") as (leaf, hub):
        backend = NatsBackend(url_of(leaf, "least"), domain="hub")
        await use(backend, NAME)
        await backend.aclose()
        assert buckets(hub) == [STREAM]
