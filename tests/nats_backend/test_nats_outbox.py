"""How long a call may wait to be sent, in virtual time and without a server."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from resumable_stream import BackendUnavailableError
from resumable_stream_nats._outbox import Outbox
from support.virtual_time import in_virtual_time, loop_time


class DeafLink:
    """A link that never gets a connection."""

    present = None

    async def reach(self, _until: float) -> Any:
        await asyncio.Event().wait()


@in_virtual_time
async def test_each_call_is_given_up_at_its_own_time() -> None:
    link: Any = DeafLink()
    outbox = Outbox(link, timeout=1.0)

    async def publish(at: float) -> float:
        await asyncio.sleep(at)
        with pytest.raises(BackendUnavailableError):
            await outbox.publish([("subject", b"message")])
        return loop_time() - at

    began = loop_time()
    ends = await asyncio.gather(*map(publish, (0.0, 1.5, 1.5, 30.0)))
    assert [end - began for end in ends] == pytest.approx([4.0] * 4)
    await outbox.aclose()


@in_virtual_time
async def test_a_cancelled_call_leaves_the_time_of_others_alone() -> None:
    link: Any = DeafLink()
    outbox = Outbox(link, timeout=1.0)
    calls = [asyncio.create_task(outbox.publish([("subject", b"message")]))]
    await asyncio.sleep(1.0)
    calls.append(asyncio.create_task(outbox.publish([("subject", b"message")])))
    await asyncio.sleep(0)
    calls[0].cancel()
    began = loop_time()
    with pytest.raises(BackendUnavailableError):
        await calls[1]
    assert loop_time() - began == pytest.approx(4.0)
    await asyncio.wait(calls)
    assert calls[0].cancelled()
    await outbox.aclose()
