"""No error of the driver's gets past the adapter, and each refusal names its remedy, at once."""

from __future__ import annotations

import asyncio
import inspect
import json
import time
from typing import TYPE_CHECKING, Any

import nats.errors
import pytest
from nats.js import api
from nats.js import errors as js_errors

from inbox import Inbox
from nats_servers import BUCKET, STREAM, NatsServer
from resumable_stream.errors import (
    BackendError,
    BackendUnavailableError,
    MessageTooLargeError,
    OutcomeUnknownError,
)
from resumable_stream_nats import NatsBackend
from resumable_stream_nats._errors import LineLostError, denial_in, lost, refused

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from nats.aio.client import Client

DRIVER_ERRORS = [
    kind
    for module in (nats.errors, js_errors)
    for _, kind in inspect.getmembers(module, inspect.isclass)
    if issubclass(kind, Exception)
]

NAME = "resumable-stream:rs:sentinel:x"
API = "$JS.API.STREAM"
TALK = ["resumable-stream.rs.>", "_INBOX.>"]
WRITE = [f"$KV.{BUCKET}.>", f"{API}.INFO.{STREAM}", f"{API}.MSG.GET.{STREAM}"]


def users(**rights: tuple[list[str], list[str]]) -> str:
    """Configure one account: a user that may do anything, and some that may only do this."""
    entries = ["{user: root, password: pw}"]
    for user, (publish, subscribe) in rights.items():
        permissions = f"permissions: {{publish: {quoted(publish)}, subscribe: {quoted(subscribe)}}}"
        entries.append(f"{{user: {user}, password: pw, {permissions}}}")
    account = f"ALL: {{jetstream: enabled, users: [{', '.join(entries)}]}}"
    return f"accounts: {{{account}, SYS: {{}}}}, system_account: SYS"


def quoted(subjects: list[str]) -> str:
    return json.dumps(subjects or ["nothing"])


def backend_of(server: NatsServer, user: str) -> NatsBackend:
    return NatsBackend(server.url.replace("//", f"//{user}:pw@"))


def made(kind: type[Exception]) -> Exception:
    more: dict[type[Exception], tuple[Any, ...]] = {
        nats.errors.SlowConsumerError: ("subject", "", 1, None),
        js_errors.ConsumerSequenceMismatchError: ("1", 1, 2),
    }
    return kind(*more.get(kind, ()))


async def every_call(
    backend: NatsBackend, name: str, expected: type[BackendError] = BackendUnavailableError
) -> list[BackendError]:
    """Make each call, and let each fail within a second."""
    calls: list[Callable[[], Awaitable[object]]] = [
        lambda: backend.get(name),
        lambda: backend.set(name, "v", ttl=5),
        lambda: backend.create(name, "v", ttl=5),
        lambda: backend.compare_and_set(name, "v", "w", ttl=5),
        lambda: backend.delete(name),
        lambda: backend.publish(name, b"m"),
        lambda: Inbox().subscribe(backend, name),
    ]
    caught = []
    for call in calls:
        began = time.monotonic()
        with pytest.raises(expected) as one:
            await call()
        assert time.monotonic() - began < 2
        assert one.value.__cause__ is not None
        caught.append(one.value)
    return caught


async def use(backend: NatsBackend, name: str) -> None:
    inbox = Inbox()
    subscription = await inbox.subscribe(backend, name)
    await backend.set(name, "1", ttl=60)
    assert not await backend.create(name, "2", ttl=60)
    assert await backend.compare_and_set(name, "1", "2", ttl=60)
    assert await backend.get(name) == "2"
    await backend.delete(name)
    await backend.publish(name, b"m")
    await inbox.received(b"m")
    await subscription.aclose()


@pytest.mark.parametrize("kind", DRIVER_ERRORS)
def test_every_driver_error_has_a_mapping(kind: type[Exception]) -> None:
    error = made(kind)
    outcomes = [refused(error), lost(error, write=False), lost(error, write=True)]
    kinds = [BackendUnavailableError, BackendUnavailableError, OutcomeUnknownError]
    assert [type(outcome) for outcome in outcomes] == kinds
    assert all(outcome.__cause__ is error for outcome in outcomes)


@pytest.mark.parametrize("server_says", [LineLostError("gone"), nats.errors.Error("other")])
def test_only_a_violation_is_a_denial(server_says: Exception) -> None:
    assert denial_in(server_says) is None
    found = denial_in(Exception('nats: permissions violation for subscription to "a.b" using q'))
    assert found is not None
    assert (found.kind, found.subject) == ("subscription", "a.b")


@pytest.mark.parametrize("login", ["", "wrong@", "root:wrong@", "nobody:pw@"])
async def test_wrong_credentials_name_the_remedy(login: str) -> None:
    with NatsServer(users()) as server:
        backend = NatsBackend(server.url.replace("//", f"//{login}"))
        for error in await every_call(backend, NAME):
            assert "credentials" in str(error)
            assert "wrong" not in str(error)
        await backend.aclose()


async def test_missing_rights_are_named_at_once() -> None:
    with NatsServer(users(weak=([], []), mute=(["resumable-stream.rs.>"], TALK))) as server:
        weak, mute = backend_of(server, "weak"), backend_of(server, "mute")
        for error in await every_call(weak, NAME):
            assert "lacks a right" in str(error)
        for call in (mute.get(NAME), mute.set(NAME, "v", ttl=5)):
            with pytest.raises(BackendUnavailableError, match=r"stream\.info"):
                await call
        await mute.publish(NAME, b"m")
        await weak.aclose()
        await mute.aclose()


async def test_least_rights_suffice() -> None:
    rights = {
        "least": ([*TALK[:1], *WRITE], TALK),
        "first": ([*TALK[:1], *WRITE, f"{API}.CREATE.{STREAM}"], TALK),
    }
    with NatsServer(users(**rights)) as server:
        backend, creator = backend_of(server, "least"), backend_of(server, "first")
        with pytest.raises(BackendUnavailableError, match="may not create it"):
            await backend.get(NAME)
        await use(creator, NAME)
        await use(backend, NAME)
        with pytest.raises(BackendUnavailableError, match="lacks a right"):
            await Inbox().subscribe(backend, "elsewhere")
        with pytest.raises(BackendUnavailableError, match="lacks a right"):
            await backend.publish("elsewhere", b"m")
        # Of these one was sent, the other one denied.
        with pytest.raises(OutcomeUnknownError):
            await backend.publish_many([(NAME, b"m"), ("elsewhere", b"m")])
        await use(backend, NAME)
        await backend.aclose()
        await creator.aclose()


async def test_denied_subject_spares_others_asked_for_beside_it() -> None:
    with NatsServer(users(least=([*TALK[:1], *WRITE], TALK))) as server:
        backend = backend_of(server, "least")
        allowed, denied = Inbox(), Inbox()
        subscribing = [allowed.subscribe(backend, NAME), denied.subscribe(backend, "elsewhere")]
        one, other = await asyncio.gather(*subscribing, return_exceptions=True)
        assert isinstance(other, BackendUnavailableError)
        assert not isinstance(one, BaseException)
        await backend.publish(NAME, b"m")
        await allowed.received(b"m")
        await backend.aclose()


async def test_denied_inbox_is_no_time_out() -> None:
    with NatsServer(users(deaf=([">"], TALK[:1]))) as server:
        backend = backend_of(server, "deaf")
        for _ in range(2):
            began = time.monotonic()
            with pytest.raises(BackendUnavailableError, match="lacks a right"):
                await backend.get(NAME)
            assert time.monotonic() - began < 2
        await backend.aclose()


async def test_absent_jetstream_is_named() -> None:
    with NatsServer(jetstream=False) as server:
        backend = NatsBackend(server.url)
        for call in (backend.get(NAME), backend.create(NAME, "v", ttl=5), backend.delete(NAME)):
            with pytest.raises(BackendUnavailableError, match="nats-server -js"):
                await call
        await backend.aclose()


async def test_account_without_jetstream_is_told() -> None:
    config = "accounts: {BARE: {users: [{user: bare, password: pw}]}, SYS: {}}, system_account: SYS"
    with NatsServer(config) as server:
        backend = backend_of(server, "bare")
        with pytest.raises(BackendUnavailableError, match="for this account"):
            await backend.get(NAME)
        await backend.aclose()


async def test_old_server_is_told_by_its_version(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("resumable_stream_nats._bucket._NEEDED_VERSION", (1000, 0))
    backend = NatsBackend(nats_server.url)
    for call in (backend.get(NAME), backend.set(NAME, "v", ttl=5)):
        with pytest.raises(
            BackendUnavailableError, match=r"nats-server 2\.\d+\.\d+ has no per-mes"
        ):
            await call
    # Nothing was left on it that a newer one would stumble over.
    assert nats_server.look("jsz")["streams"] == 0
    await backend.aclose()


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"allow_msg_ttl": False}, "allow_msg_ttl"),
        ({"max_msgs_per_subject": 5}, "history of 5"),
        ({"max_age": 60.0}, "max_age"),
    ],
)
async def test_unfit_bucket_names_the_setting(
    nats_server: NatsServer, settings: dict[str, object], named: str
) -> None:
    nats_server.create_bucket(**settings)
    backend = NatsBackend(nats_server.url)
    for _ in range(2):
        with pytest.raises(BackendUnavailableError, match=named):
            await backend.create(NAME, "v", ttl=600)
    await backend.aclose()


async def test_too_many_replicas_are_told(nats_server: NatsServer) -> None:
    backend = NatsBackend(nats_server.url, replicas=3)
    with pytest.raises(BackendUnavailableError, match="replicas"):
        await backend.get(NAME)
    await backend.aclose()


async def test_full_bucket_executes_nothing(nats_server: NatsServer, own: NatsBackend) -> None:
    nats_server.create_bucket(max_bytes=1000, discard=api.DiscardPolicy.NEW)
    for write in (own.create(NAME, "x" * 4000, ttl=60), own.set(NAME, "x" * 4000, ttl=60)):
        with pytest.raises(BackendUnavailableError, match="maximum bytes"):
            await write
    assert await own.get(NAME) is None


async def test_oversized_value_is_refused_before_it_is_sent(own: NatsBackend) -> None:
    for size in (2**20 - 400, 2**20, 2**21):
        with pytest.raises(MessageTooLargeError):
            await own.set(NAME, "x" * size, ttl=60)
    await own.set(NAME, "x" * (2**20 - 600), ttl=60)


async def test_tiny_payload_limit_is_told() -> None:
    with NatsServer("max_payload: 2048") as server:
        backend = NatsBackend(server.url)
        for error in await every_call(backend, NAME):
            assert "max_payload" in str(error)
        await backend.aclose()


async def test_foreign_value_is_text(nats_server: NatsServer, own: NatsBackend) -> None:
    await own.set("k", "v", ttl=60)

    async def write(client: Client) -> None:
        jetstream = client.jetstream()
        await jetstream.publish(f"$KV.{BUCKET}.k", b"\xff")
        await jetstream.publish(f"$KV.{BUCKET}.purged", b"", headers={"KV-Operation": "PURGE"})
        await jetstream.publish(f"$KV.{BUCKET}.m", b"", headers={"Nats-Marker-Reason": "MaxAge"})

    nats_server.ask(write)
    assert await own.get("k") == "\N{REPLACEMENT CHARACTER}"
    for gone in ("purged", "m"):
        assert await own.get(gone) is None
        assert await own.create(gone, "v", ttl=60)
