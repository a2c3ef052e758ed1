"""Users with few rights: the least rights suffice, and a missing right is named at once."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from resumable_stream import create_resumable_stream_context
from resumable_stream.errors import AccessDeniedError, BackendUnavailableError, OutcomeUnknownError
from resumable_stream_nats import NatsBackend
from support.calls import use
from support.inbox import Inbox
from support.nats_servers import BUCKET, STREAM, NatsServer
from support.nats_users import backend_of, each_is_refused, url_of, users
from support.servers import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

NAME = "resumable-stream:rs:sentinel:x"
API = "$JS.API.STREAM"
TALK = ["resumable-stream.rs.>", "_INBOX.>"]
WRITE = [f"$KV.{BUCKET}.>", f"{API}.INFO.{STREAM}", f"{API}.MSG.GET.{STREAM}"]


async def test_missing_rights_are_named_at_once() -> None:
    with NatsServer(users(weak=([], []), mute=(["resumable-stream.rs.>"], TALK))) as server:
        weak, mute = backend_of(server, "weak"), backend_of(server, "mute")
        for error in await each_is_refused(weak, NAME):
            assert "lacks a right" in str(error)
        for call in (mute.get(NAME), mute.set(NAME, "v", ttl=5)):
            with pytest.raises(AccessDeniedError, match=r"stream\.info"):
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
        with pytest.raises(AccessDeniedError, match="lacks a right"):
            await Inbox().subscribe(backend, "elsewhere")
        with pytest.raises(AccessDeniedError, match="lacks a right"):
            await backend.publish("elsewhere", b"m")
        # The first of these messages was sent, the second one denied.
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
            with pytest.raises(AccessDeniedError, match="lacks a right"):
                await backend.get(NAME)
            assert time.monotonic() - began < 2
        await backend.aclose()


PUBLISH = {"talk": TALK[0], "keys": WRITE[0], "info": WRITE[1], "read": WRITE[2]}
SUBSCRIBE = {"hear": TALK[0], "answers": TALK[1]}
# The operations that need each right; all other operations work without it.
NEEDED_BY = {
    "talk": {"resume", "cancel"},
    "keys": {"start"},
    "info": {"start", "resume", "cancel", "status"},
    "read": {"start", "resume", "cancel", "status"},
    "hear": {"start", "resume", "cancel"},
    "answers": {"start", "resume", "cancel", "status"},
}


@pytest.mark.parametrize("missing", NEEDED_BY)
async def test_each_missing_right_is_named_to_its_caller(missing: str) -> None:
    publish, subscribe = (
        [subject for right, subject in rights.items() if right != missing]
        for rights in (PUBLISH, SUBSCRIBE)
    )
    subject = (PUBLISH | SUBSCRIBE)[missing].rstrip(">").lower()
    with NatsServer(users(short=(publish, subscribe))) as server:
        async with create_resumable_stream_context(url_of(server, "root")) as others:
            theirs = await others.create_new_resumable_stream("theirs", endless)
            subjects = server.subjects()
            async with create_resumable_stream_context(url_of(server, "short")) as own:
                calls: dict[str, Callable[[], Awaitable[object]]] = {
                    "start": lambda: own.create_new_resumable_stream("mine", endless),
                    "resume": lambda: own.resume_existing_stream("theirs"),
                    "cancel": lambda: own.cancel_stream("theirs"),
                    "status": lambda: own.stream_status("theirs"),
                }
                for name in sorted(NEEDED_BY[missing]):
                    began = time.monotonic()
                    with pytest.raises(AccessDeniedError) as caught:
                        await calls[name]()
                    assert time.monotonic() - began < 2
                    assert f'to "{subject}' in str(caught.value)
                await eventually(lambda: server.subjects() == subjects, "all to be left")
                assert (await others.stream_status("mine")).state == "not_found"
            assert (await others.stream_status("theirs")).state == "active"
            await others.cancel_stream("theirs")
            await theirs.aclose()


async def endless() -> AsyncIterator[str]:
    yield "on and on"
    await asyncio.Event().wait()


async def test_own_inbox_prefix_keeps_answers_private() -> None:
    publish = [*TALK[:1], *WRITE, f"{API}.CREATE.{STREAM}"]
    rights = {user: (publish, [TALK[0], f"_INBOX.{user}.>"]) for user in ("chat", "nosy")}
    with NatsServer(users(**rights)) as server:
        for backend in (
            NatsBackend(url_of(server, "chat"), inbox_prefix="_INBOX.chat"),
            NatsBackend(f"{url_of(server, 'nosy')}&inbox_prefix=_INBOX.nosy"),
        ):
            await use(backend, NAME)
            await backend.aclose()
        for backend in (
            NatsBackend(url_of(server, "nosy"), inbox_prefix="_INBOX.chat"),
            backend_of(server, "chat"),
        ):
            with pytest.raises(AccessDeniedError, match='subscription to "_inbox'):
                await backend.get(NAME)
            await backend.aclose()
