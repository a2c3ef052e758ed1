"""Writes that need not read first, and what could give another's value a remembered number."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from resumable_stream import Options, StreamSupersededError, create_resumable_stream_context
from resumable_stream_nats import NatsBackend
from resumable_stream_nats._revisions import Revisions
from support.nats_servers import BUCKET, STREAM, NatsServer
from support.nats_users import backend_of, users
from support.virtual_time import in_virtual_time, loop_time

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from nats.aio.client import Client

API = "$JS.API.STREAM"
RIGHTS = [f"$KV.{BUCKET}.>", *(f"{API}.{one}.{STREAM}" for one in ("INFO", "CREATE", "MSG.GET"))]
KEY = "resumable-stream:rs:sentinel:x"
SUBJECT = f"$KV.{BUCKET}.resumable-stream.rs.sentinel.x"


@pytest.fixture
async def other(nats_server: NatsServer) -> AsyncIterator[NatsBackend]:
    """Another backend on the test's own server."""
    backend = NatsBackend(nats_server.url)
    yield backend
    await backend.aclose()


async def requests(server: NatsServer) -> int:
    """The number of messages that clients have published.

    The server counts a message a moment after it has answered it: look until the number stays.
    """
    seen = -1
    while (now := int(server.look("varz")["in_msgs"])) != seen:
        seen = now
        await asyncio.sleep(0.2)
    return seen


def ask(server: NatsServer, request: str, settings: dict[str, Any] | None = None) -> dict[str, Any]:
    """Ask the bucket's stream something; older versions of nats-py do not know all settings."""

    async def ask(client: Client) -> dict[str, Any]:
        question = json.dumps(settings).encode() if settings else b""
        answer: dict[str, Any] = json.loads(
            (await client.request(f"{API}.{request}.{STREAM}", question, timeout=10)).data
        )
        assert "error" not in answer, answer
        return answer

    return server.ask(ask)


def delete_bucket(server: NatsServer) -> None:
    ask(server, "DELETE")


def settings_of(server: NatsServer) -> dict[str, Any]:
    config: dict[str, Any] = ask(server, "INFO")["config"]
    return config


def make_bucket(server: NatsServer, settings: dict[str, Any]) -> None:
    ask(server, "CREATE", settings)


def operators_bucket(first: int | None) -> dict[str, Any]:
    settings = {
        "name": STREAM,
        "subjects": [f"$KV.{BUCKET}.>"],
        "allow_msg_ttl": True,
        "max_msgs_per_subject": 1,
    }
    return settings | ({} if first is None else {"first_seq": first})


def number_of(server: NatsServer, subject: str = SUBJECT) -> int:
    """The number of the message that holds the key."""
    found = server.ask(lambda client: client.jetstream().get_last_msg(STREAM, subject))
    assert found.seq is not None
    return found.seq


async def requests_for_ten_renewals(backend: NatsBackend, server: NatsServer, key: str) -> int:
    before = await requests(server)
    for _ in range(10):
        assert await backend.compare_and_set(key, "mine", "mine", ttl=60)
    return await requests(server) - before


async def test_renewal_is_one_request(own: NatsBackend, nats_server: NatsServer) -> None:
    assert await own.create("k", "mine", ttl=60)
    assert await requests_for_ten_renewals(own, nats_server, "k") == 10


async def test_change_of_a_remembered_value_is_one_request(
    own: NatsBackend, nats_server: NatsServer
) -> None:
    assert await own.create("k", "0", ttl=60)
    before = await requests(nats_server)
    for turn in range(10):
        assert await own.compare_and_set("k", str(turn), str(turn + 1), ttl=60)
    assert await requests(nats_server) - before == 10


async def test_what_another_has_written_is_noticed(own: NatsBackend, other: NatsBackend) -> None:
    assert await own.create("k", "mine", ttl=60)
    assert await other.compare_and_set("k", "mine", "theirs", ttl=60)
    assert not await own.compare_and_set("k", "mine", "mine", ttl=60)
    # What is there counts, and not who wrote it.
    assert await own.compare_and_set("k", "theirs", "mine", ttl=60)
    assert await other.compare_and_set("k", "mine", "mine", ttl=60)
    assert await own.compare_and_set("k", "mine", "again", ttl=60)
    await other.delete("k")
    assert not await own.compare_and_set("k", "again", "again", ttl=60)
    assert await other.get("k") is None


async def test_expired_key_is_not_renewed(own: NatsBackend) -> None:
    assert await own.create("k", "mine", ttl=1)

    async def is_gone() -> bool:
        return await own.get("k") is None

    for _ in range(500):
        if await is_gone():
            break
        await asyncio.sleep(0.02)
    assert not await own.compare_and_set("k", "mine", "mine", ttl=60)


async def test_two_buckets_of_one_name_share_no_number(
    own: NatsBackend, other: NatsBackend, nats_server: NatsServer
) -> None:
    assert await own.create(KEY, "mine", ttl=60)
    before = number_of(nats_server)
    delete_bucket(nats_server)
    assert await other.create(KEY, "theirs", ttl=60)
    assert abs(number_of(nats_server) - before) > 2**20
    assert not await own.compare_and_set(KEY, "mine", "mine", ttl=60)
    assert await other.get(KEY) == "theirs"


async def test_bucket_made_again_with_its_settings_begins_elsewhere(
    own: NatsBackend, other: NatsBackend, nats_server: NatsServer
) -> None:
    assert await own.create(KEY, "mine", ttl=60)
    before = number_of(nats_server)
    settings = settings_of(nats_server)
    assert "first_seq" not in settings
    delete_bucket(nats_server)
    make_bucket(nats_server, settings)
    assert await other.create(KEY, "theirs", ttl=60)
    assert number_of(nats_server) != before
    assert not await own.compare_and_set(KEY, "mine", "mine", ttl=60)
    assert await other.get(KEY) == "theirs"


@pytest.mark.parametrize("first", [None, 2**50])
async def test_operators_bucket_made_anew_is_not_mistaken(
    own: NatsBackend, other: NatsBackend, nats_server: NatsServer, first: int | None
) -> None:
    settings = operators_bucket(first)
    make_bucket(nats_server, settings)
    assert await own.create(KEY, "mine", ttl=60)
    before = number_of(nats_server)
    delete_bucket(nats_server)
    make_bucket(nats_server, settings)
    assert await other.create(KEY, "theirs", ttl=60)
    # The same number at the same subject holds another's value.
    assert number_of(nats_server) == before
    assert not await own.compare_and_set(KEY, "mine", "mine", ttl=60)
    assert await other.get(KEY) == "theirs"


@pytest.mark.parametrize("first", [None, 2**50])
async def test_producer_is_superseded_in_a_bucket_made_anew(
    own: NatsBackend, nats_server: NatsServer, first: int | None
) -> None:
    settings = operators_bucket(first)
    make_bucket(nats_server, settings)
    going_on = asyncio.Event()

    async def source() -> AsyncIterator[str]:
        yield "first"
        await going_on.wait()

    async with create_resumable_stream_context(
        nats_server.url, options=Options(lease=3.0)
    ) as streams:
        stream = await streams.create_new_resumable_stream("x", source)
        assert await anext(stream) == "first"
        before = number_of(nats_server)
        delete_bucket(nats_server)
        make_bucket(nats_server, settings)
        assert await own.create(KEY, str(7 << 20), ttl=60)
        assert number_of(nats_server) == before
        with pytest.raises(StreamSupersededError):
            await anext(stream)
    assert await own.get(KEY) == str(7 << 20)


async def test_nothing_is_remembered_across_a_connection(
    own: NatsBackend, nats_server: NatsServer
) -> None:
    assert await own.create("k", "mine", ttl=60)
    await requests_for_ten_renewals(own, nats_server, "k")
    revisions, parts = Revisions(), own._bound.parts
    assert parts is not None
    line = await parts.link.reach(loop_time() + 5)
    revisions.note(line, "k", "mine", 2**50, loop_time(), 60)
    assert revisions.of(line, "k", "mine") == 2**50
    line.end(ConnectionResetError())
    next_line = await parts.link.reach(loop_time() + 5)
    assert revisions.of(next_line, "k", "mine") is None
    # The bucket still has the key, which is read once and remembered again.
    assert await requests_for_ten_renewals(own, nats_server, "k") == 11


async def test_without_the_right_to_hide_the_start_each_renewal_reads() -> None:
    inboxes = ["_INBOX.>"]
    rights = {"weak": (RIGHTS, inboxes), "strong": ([*RIGHTS, f"{API}.UPDATE.{STREAM}"], inboxes)}
    with NatsServer(users(**rights)) as server:
        weak, strong = backend_of(server, "weak"), backend_of(server, "strong")
        assert await weak.create("k", "mine", ttl=60)
        assert await requests_for_ten_renewals(weak, server, "k") == 20
        assert await strong.create("l", "mine", ttl=60)
        assert await requests_for_ten_renewals(strong, server, "l") == 10
        await weak.aclose()
        await strong.aclose()


async def test_overlapping_changes_lose_nothing(own: NatsBackend, other: NatsBackend) -> None:
    assert await own.create("k", "0", ttl=60)

    async def increase(backend: NatsBackend) -> None:
        for _ in range(10):
            while True:
                value = await backend.get("k")
                assert value is not None
                if await backend.compare_and_set("k", value, str(int(value) + 1), ttl=60):
                    break

    await asyncio.gather(*(increase(backend) for backend in (own, other) for _ in range(3)))
    assert await own.get("k") == "60"


@in_virtual_time
async def test_remembered_writes_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resumable_stream_nats._revisions._KEPT_KEYS", 10)
    line: Any = object()
    revisions = Revisions()
    for number in range(100):
        revisions.note(line, str(number), "v", number, loop_time(), 60)
    assert len(revisions._written) == 10
    assert revisions.of(line, "99", "v") == 99
    assert revisions.of(line, "99", "w") is None
    assert revisions.of(line, "89", "v") is None
    revisions.forget("99")
    assert revisions.of(line, "99", "v") is None


@in_virtual_time
async def test_writes_are_remembered_while_their_key_lives() -> None:
    line: Any = object()
    revisions = Revisions()
    for number in range(20):
        revisions.note(line, str(number), "v", number, loop_time(), 2)
    revisions.note(line, "day", "v", 20, loop_time(), 86_400)
    await asyncio.sleep(1.9)
    assert revisions.of(line, "0", "v") == 0
    await asyncio.sleep(0.2)
    assert revisions.of(line, "0", "v") is None
    assert revisions.of(line, "day", "v") == 20
    await asyncio.sleep(300)
    assert revisions.of(line, "day", "v") is None
    for number in range(100, 125):
        revisions.note(line, str(number), "v", number, loop_time(), 60)
    assert len(revisions._written) == 25
