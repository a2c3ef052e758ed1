"""Requests that come while a claim is being taken are kept, and answered once it is won."""

from __future__ import annotations

import asyncio

import pytest

from resumable_stream import Loss
from resumable_stream._producing import requests
from resumable_stream._producing.requests import Requests
from support.virtual_time import in_virtual_time
from support.world import ID, NAMES, Broker, shared_on

CHANNEL = NAMES.request(ID)


class Heard(Requests):
    """The requests of one stream; it records the requests and losses that are passed on."""

    def __init__(self, broker: Broker) -> None:
        self.answered: list[bytes] = []
        self.losses: list[Loss] = []
        super().__init__(
            ID,
            shared_on(broker),
            on_request=self.answered.append,
            on_loss=self.losses.append,
        )


@pytest.mark.rule("P11", "P1")
@in_virtual_time
async def test_what_is_asked_early_is_answered_first_and_in_order() -> None:
    broker = Broker("early-requests")
    heard = Heard(broker)
    await heard.listen()
    await broker.publish_many([(CHANNEL, b"first"), (CHANNEL, b"second")])
    await asyncio.sleep(0.1)
    assert heard.answered == []
    heard.answer()
    assert heard.answered == [b"first", b"second"]
    await broker.publish(CHANNEL, b"third")
    await asyncio.sleep(0.1)
    assert heard.answered == [b"first", b"second", b"third"]
    await heard.aclose()
    await broker.aclose()


@pytest.mark.rule("P7")
@in_virtual_time
async def test_early_requests_are_kept_within_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "_MAX_EARLY", 2)
    broker = Broker("many-early-requests")
    heard = Heard(broker)
    await heard.listen()
    await broker.publish_many([(CHANNEL, b"%d" % number) for number in range(4)])
    await asyncio.sleep(0.1)
    heard.answer()
    assert heard.answered == [b"0", b"1"]
    await heard.aclose()
    await broker.aclose()


@in_virtual_time
async def test_a_loss_is_told_before_the_claim_is_won_and_after() -> None:
    broker = Broker("losses-of-requests")
    heard = Heard(broker)
    await heard.listen()
    broker.reconnect()
    await asyncio.sleep(0.1)
    heard.answer()
    broker.reconnect()
    await asyncio.sleep(0.1)
    assert heard.losses == [Loss.RECONNECTED] * 2
    await heard.aclose()
    await broker.aclose()


@in_virtual_time
async def test_closing_what_never_listened_does_nothing() -> None:
    broker = Broker("unheard")
    await Heard(broker).aclose()
    await broker.aclose()
