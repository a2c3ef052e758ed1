"""Options, prefixes, and the event loops a context serves."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from resumable_stream import (
    InvalidSettingError,
    Options,
    WrongEventLoopError,
    create_resumable_stream_context,
)
from support.world import ID, Source, rest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


async def two_chunks() -> AsyncIterator[str]:
    yield "a"
    yield "b"


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"lease": 0.5}, "lease"),
        ({"lease": float("nan")}, "lease"),
        ({"lease": "15"}, "lease"),
        ({"lease": True}, "lease"),
        (
            {"lease": 9, "heartbeat": 4},
            "heartbeat 4 must be a number .* at most 3",
        ),
        ({"lease": 60, "done_ttl": 30}, "done_ttl"),
        ({"handshake_timeout": 0}, "handshake_timeout"),
        ({"outage_timeout": -1}, "outage_timeout"),
        ({"window": 100}, "window"),
        ({"buffer_limit": 0}, "buffer_limit"),
        ({"offset_unit": "bytes"}, "offset_unit 'bytes' must be 'utf-16' or 'code-points'"),
    ],
)
def test_insane_options_are_refused(options: dict[str, Any], what: str) -> None:
    with pytest.raises(InvalidSettingError, match=what):
        Options(**options)


@pytest.mark.parametrize("prefix", ["", "x" * 129, "a:rs:b", "a:rs", "\ud800"])
def test_ambiguous_prefixes_are_refused(prefix: str) -> None:
    with pytest.raises(InvalidSettingError, match="key_prefix"):
        create_resumable_stream_context("memory://", key_prefix=prefix)


def test_a_context_serves_loops_run_one_after_another() -> None:
    context = create_resumable_stream_context("memory://one-after-another")

    async def once(stream_id: str) -> list[str]:
        return await rest(await context.resumable_stream(stream_id, two_chunks))

    async def twice() -> None:
        assert await once("third") == ["a", "b"]
        await context.aclose()

    assert asyncio.run(once("first")) == ["a", "b"]
    assert asyncio.run(once("second")) == ["a", "b"]
    asyncio.run(twice())


def test_a_context_refuses_a_second_running_loop() -> None:
    context = create_resumable_stream_context("memory://two-loops")
    with asyncio.Runner() as first, asyncio.Runner() as second:
        assert first.run(context.has_existing_stream(ID)) is None
        with pytest.raises(WrongEventLoopError, match="per loop"):
            second.run(context.has_existing_stream(ID))
        first.run(context.aclose())


def test_a_loop_that_ends_early_ends_its_streams() -> None:
    source = Source("a")

    async def abandon() -> None:
        context = create_resumable_stream_context("memory://abandoned")
        stream = await context.create_new_resumable_stream(ID, source)
        assert await anext(stream) == "a"

    asyncio.run(abandon())
    assert source.closed
