"""Names as NATS subjects: each subject is legal, bounded, and different from all others."""

from __future__ import annotations

import asyncio
import re
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resumable_stream import (
    NOT_FOUND,
    InvalidStreamIdError,
    ResumableStream,
    StreamCancelledError,
    create_resumable_stream_context,
)
from resumable_stream._arguments import check_id
from resumable_stream._protocol.names import Names, live_id
from resumable_stream_conformance._names import ODD_NAMES
from resumable_stream_nats._names import MAX_SUBJECT, subject_of
from support.inbox import Inbox
from support.servers import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from resumable_stream_nats import NatsBackend
    from support.nats_servers import NatsServer

# Names that could be read as something else: wildcards, separators, escapes, protocol lines.
HOSTILE = [
    *(
        *ODD_NAMES,
        "a\x00",
        "PUB x 0\r\n\r\n",
        "=5F",
        "=5F=",
        "=h",
        "=",
        "==",
        ":",
        "::",
        ":=",
        "=:",
    ),
    *("a:", ":a", "a:=", "a.b", "a:b", "a=3Ab", "a::b", "a:=:b", "_", "__", "a:_", "_INBOX:x"),
    *("$JS.API.STREAM.DELETE.KV_x", "$KV.x.>", "$SYS", "*:>", ">:*", "\u2028", "\ufffe", "\u00a0"),
    *(f"={'h'}{'0' * 64}", "=h" * 200, ":" * 512, ":" * 511, "a:" * 256, "_" * 512, "=" * 512),
    *("\N{ROCKET}" * 512, "x" * 255, "x" * 256, "x" * 254, "x:" * 127 + "x", "x:" * 127 + "xy"),
]
LEGAL = re.compile(r"(?:[A-Za-z0-9=_-]+\.)*[A-Za-z0-9=_-]+")

text = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)
tricky = st.text(st.sampled_from("=:._*>h35FaA \N{ROCKET}"), min_size=1, max_size=400)


@given(st.one_of(text, tricky))
def test_subject_is_legal_and_bounded(name: str) -> None:
    subject = subject_of(name)
    assert LEGAL.fullmatch(subject)
    assert len(subject) <= MAX_SUBJECT
    assert not subject.startswith("_")


@given(st.one_of(text, tricky), st.one_of(text, tricky))
def test_no_two_names_share_a_subject(one: str, other: str) -> None:
    assert (subject_of(one) == subject_of(other)) == (one == other)


def test_no_hostile_name_becomes_anothers() -> None:
    names = sorted({*HOSTILE, *(f"a{name}" for name in HOSTILE), *(f"{n}:" for n in HOSTILE)})
    subjects = {subject_of(name) for name in names}
    assert len(subjects) == len(names)


@given(st.one_of(text, tricky))
def test_subject_stays_below_its_prefix(stream_id: str) -> None:
    names = Names.under("my-app")
    for name in (names.sentinel(stream_id), names.chunk(live_id(stream_id, 7))):
        assert subject_of(name).startswith("my-app.rs.")


@pytest.mark.parametrize(
    ("name", "subject"),
    [
        ("resumable-stream:rs:request:a b", "resumable-stream.rs.request.a=20b"),
        ("p:rs:chunk:12:x.*", "p.rs.chunk.12.x=2E=2A"),
        ("p::>", "p.=.=3E"),
        ("_INBOX:x", "=5FINBOX.x"),
        ("caf\u00e9", "caf=C3=A9"),
    ],
)
def test_subject_can_be_read(name: str, subject: str) -> None:
    assert subject_of(name) == subject


async def test_hostile_names_reach_no_others(own: NatsBackend, nats_server: NatsServer) -> None:
    witness, heard = Inbox(), []
    await witness.subscribe(own, "witness")
    await own.set("witness", "safe", ttl=60)
    inboxes = {name: Inbox() for name in HOSTILE}
    for name, inbox in inboxes.items():
        await inbox.subscribe(own, name)
        assert await own.create(name, name, ttl=60), name
    for name in inboxes:
        await own.publish(name, name.encode())
    for name, inbox in inboxes.items():
        await inbox.received(name.encode())
        assert await own.get(name) == name
        await own.delete(name)
        heard.append(await own.get("witness"))
    assert set(heard) == {"safe"}
    assert witness.messages == []
    assert all(LEGAL.fullmatch(subject) for subject in nats_server.subjects())


async def test_hostile_ids_reach_no_other_tenant(nats_server: NatsServer) -> None:
    ids = [name for name in dict.fromkeys(HOSTILE) if len(name) <= 512 and is_id(name)]
    release = asyncio.Event()

    def source(text: str) -> Callable[[], AsyncIterator[str]]:
        async def produce() -> AsyncIterator[str]:
            yield text
            await release.wait()
            yield "the end"

        return produce

    async with AsyncExitStack() as stack:
        here, there = [
            [
                await stack.enter_async_context(
                    create_resumable_stream_context(nats_server.url, key_prefix=prefix)
                )
                for prefix in ("a", "a.*", ">")
            ]
            for _ in range(2)
        ]
        # The first two tenants have a stream of each id, the third has none.
        for number, tenant in enumerate(here[:2]):
            for name in ids:
                await tenant.create_new_resumable_stream(name, source(f"{number} {name}"))
        readers = []
        for number, tenant in enumerate(there[:2]):
            for name in ids:
                reader = await tenant.resume_existing_stream(name)
                assert isinstance(reader, ResumableStream)
                assert await anext(reader) == f"{number} {name}"
                readers.append(reader)
        for name in ids:
            assert await there[2].resume_existing_stream(name) == NOT_FOUND
            assert await there[2].cancel_stream(name) == "not_found"
            assert await there[1].cancel_stream(name) == "cancelled"
        release.set()
        for reader in readers[: len(ids)]:
            assert [chunk async for chunk in reader] == ["the end"]
        for reader in readers[len(ids) :]:
            with pytest.raises(StreamCancelledError):
                await anext(reader)
    await eventually(lambda: not nats_server.connections(), "nobody to be left")
    assert all("Nats-TTL" in headers for headers in nats_server.headers())


def is_id(name: str) -> bool:
    try:
        check_id(name)
    except InvalidStreamIdError:
        return False
    return True
