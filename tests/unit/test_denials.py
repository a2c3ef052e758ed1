"""A missing right is reported at once, and a producer that lacks a right logs which one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from resumable_stream import (
    AccessDeniedError,
    BackendError,
    BackendFaultError,
    HandshakeTimeoutError,
    WrongKeyTypeError,
)
from support.virtual_time import in_virtual_time
from support.world import ID, Broker, begin, rest, world

if TYPE_CHECKING:
    from collections.abc import Sequence


def forbid_publishing(
    broker: Broker,
    monkeypatch: pytest.MonkeyPatch,
    kind: type[BackendError] = AccessDeniedError,
) -> None:
    async def publish_many(messages: Sequence[tuple[str, bytes]]) -> None:
        raise kind("the user lacks a right: publish")

    monkeypatch.setattr(broker, "publish_many", publish_many)


@pytest.mark.rule("LSN-7", "P4")
@pytest.mark.parametrize("kind", [AccessDeniedError, BackendFaultError, WrongKeyTypeError])
@in_virtual_time
async def test_request_that_will_never_pass_is_told_at_once(kind: type[BackendError]) -> None:
    async with world() as here:
        await begin(here, "a")
        context, broker = here.instance()
        with pytest.MonkeyPatch.context() as monkeypatch:
            forbid_publishing(broker, monkeypatch, kind)
            began = asyncio.get_running_loop().time()
            for call in (context.resume_existing_stream(ID), context.cancel_stream(ID)):
                with pytest.raises(kind, match="publish"):
                    await call
            assert asyncio.get_running_loop().time() - began < 1


@pytest.mark.rule("LSN-7", "P1")
@in_virtual_time
async def test_right_that_comes_back_costs_no_reader() -> None:
    async with world() as here:
        source, *_ = await begin(here, "a")
        context, broker = here.instance()
        stream = await context.resume_existing_stream(ID)
        with pytest.MonkeyPatch.context() as monkeypatch:
            forbid_publishing(broker, monkeypatch)
            broker.reconnect()
            await asyncio.sleep(5)
        source.put("b")
        source.finish()
        assert await rest(stream) == ["a", "b"]


@in_virtual_time
async def test_mute_producer_names_the_right_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world() as here:
        source, *_ = await begin(here, "a")
        forbid_publishing(here.brokers[0], monkeypatch)
        context, _ = here.instance()
        with pytest.raises(HandshakeTimeoutError):
            await context.resume_existing_stream(ID)
        source.finish()
    (warning,) = [record for record in caplog.records if record.levelname == "WARNING"]
    assert "lacks a right: publish" in warning.getMessage()
