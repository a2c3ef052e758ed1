"""Any bytes from a peer of version 1 are read as text, or as the end."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from resumable_stream import InvalidOffsetError, ProducerLostError, ResumableStream
from resumable_stream._protocol.whereabouts import Elsewhere, whereabouts
from resumable_stream._protocol.wire import V1_END
from resumable_stream._text.utf8 import decode_text
from support.hostile import FRAMES, MESSAGES, SENTINELS
from support.virtual_time import run_in_virtual_time
from support.world import ID, NAMES, SENTINEL, World, world

if TYPE_CHECKING:
    from resumable_stream import Loss

END = V1_END.encode()
ANSWERS = st.lists(
    st.one_of(
        st.binary(max_size=30), FRAMES, MESSAGES, st.sampled_from([END, b"", b"\xed\xa0\xbd"])
    ),
    max_size=6,
)


async def answer_everything(here: World, answers: list[bytes]) -> None:
    """Answer each of the first 20 requests with all ``answers``, and no request after them."""
    left = 20

    def on_request(message: bytes) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            return
        channel = NAMES.chunk(json.loads(message)["listenerId"])
        for answer in answers:
            here.raw._open_bus().publish(channel, answer)

    def on_loss(_loss: Loss) -> None:
        """Do nothing: readers repeat their requests."""

    await here.raw.subscribe(NAMES.request(ID), on_request, on_loss)


@pytest.mark.rule("V1-4", "V1-6", "P4")
@settings(max_examples=80)
@given(SENTINELS, ANSWERS, st.integers(0, 40), st.booleans())
@example(sentinel="1", answers=[b"", b"\x00\x00\xf0\x90\x80\x80"], offset=3, ends=False)
def test_whatever_a_version_1_peer_sends_is_read_to_an_end(
    sentinel: str | None,
    answers: list[bytes],
    offset: int,
    ends: bool,  # noqa: FBT001 - hypothesis passes it
) -> None:
    if whereabouts(sentinel) != Elsewhere(None):
        sentinel = "1"
    assert sentinel is not None
    raised: list[object] = []

    async def read() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _loop, what: raised.append(what))
        async with world() as here:
            await answer_everything(here, answers)
            await here.raw.set(SENTINEL, sentinel, ttl=30)
            context, _ = here.instance(lease=2, handshake_timeout=1, outage_timeout=3)
            try:
                async with asyncio.timeout(600):
                    stream = await context.resume_existing_stream(ID, offset)
                    assert isinstance(stream, ResumableStream)
                    if ends:
                        await here.raw.set(SENTINEL, "DONE", ttl=30)
                    chunks = [chunk async for chunk in stream]
                    assert "".join(chunks) in "".join(map(decode_text, answers * 20))
            except ProducerLostError:
                pass
            except InvalidOffsetError:
                # The offset falls inside a surrogate pair.
                assert max("".join(map(decode_text, answers))) > "\uffff"

    run_in_virtual_time(read())
    assert not raised
