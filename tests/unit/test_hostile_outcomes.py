"""Calls and producers behave as documented, whatever value is stored in a stream's keys."""

from __future__ import annotations

import asyncio
import itertools
import logging
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings

from resumable_stream import (
    NOT_FOUND,
    BackendUnavailableError,
    CancelResult,
    OutcomeUnknownError,
    ProducerLostError,
    ResumableStream,
    StreamCancelledError,
    StreamExistsError,
    StreamFailedError,
    StreamHistoryChangedError,
    StreamState,
)
from resumable_stream._producing.claim import Claim
from resumable_stream._protocol.sentinel import Outcome
from resumable_stream._text.endings import Ending, Status
from support.hostile import RECORDS, SENTINELS
from support.virtual_time import in_virtual_time, loop_time, run_in_virtual_time
from support.world import (
    ID,
    LEASE,
    OUTCOME,
    SENTINEL,
    Broker,
    Source,
    World,
    begin,
    rest,
    shared_on,
    world,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from resumable_stream import ResumableStreamContext

UNREADABLE = [
    "",
    "junk",
    "null",
    '{"generation":77,"end":3,"status":"superseded"}',
    '{"generation":1e999,"end":3,"status":"completed"}',
    '{"generation":77,"end":' + "9" * 5000 + ',"status":"completed"}',
    "[" * 100_000,
    "\ufffd",
]
unreadable = pytest.mark.parametrize("record", UNREADABLE, ids=range(len(UNREADABLE)))

# The errors that the calls document; a ``HandshakeTimeoutError`` is a ``ProducerLostError``.
DOCUMENTED = (
    ProducerLostError,
    StreamCancelledError,
    StreamExistsError,
    StreamFailedError,
    StreamHistoryChangedError,
)


async def answer(call: Awaitable[Any]) -> object:
    """Return a call's answer, or its stream's chunks, or the type of its documented error."""
    try:
        given = await call
        return await rest(given) if isinstance(given, ResumableStream) else given
    except DOCUMENTED as error:
        return type(error)


async def answers(context: ResumableStreamContext) -> dict[str, object]:
    source = Source("fresh")
    source.finish()
    return {
        "status": await answer(context.stream_status(ID)),
        "exists": await answer(context.has_existing_stream(ID)),
        "resume": await answer(context.resume_existing_stream(ID, 1)),
        "resume by id": await answer(context.resume_existing_stream(ID, last_event_id="77-1")),
        "cancel": await answer(context.cancel_stream(ID)),
        "join": await answer(context.resumable_stream(ID, source)),
        "create": await answer(context.create_new_resumable_stream(ID, source)),
    }


@pytest.mark.rule("SEN-8", "END-2")
@unreadable
@in_virtual_time
async def test_a_record_that_cannot_be_read_counts_as_lost_in_every_call(
    record: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with world() as here:
        await here.raw.set(SENTINEL, "DONE", ttl=60)
        await here.raw.set(OUTCOME, record, ttl=60)
        context, _ = here.instance()
        told = await answers(context)
    status: Any = told.pop("status")
    assert (status.state, status.generation) == (StreamState.LOST, None)
    assert told == {
        "exists": "DONE",
        "resume": ProducerLostError,
        "resume by id": ProducerLostError,
        "cancel": CancelResult.ALREADY_OVER,
        "join": ProducerLostError,
        "create": StreamExistsError,
    }
    warnings = [entry.getMessage() for entry in caplog.records if entry.levelno == logging.WARNING]
    assert warnings
    assert all(repr(OUTCOME) in text and "key_prefix" in text for text in warnings)


@pytest.mark.rule("SEN-8")
@in_virtual_time
async def test_an_end_without_a_record_is_a_typescript_peers() -> None:
    async with world() as here:
        await here.raw.set(SENTINEL, "DONE", ttl=60)
        context, _ = here.instance()
        assert (await context.stream_status(ID)).state is StreamState.COMPLETED
        assert await context.resume_existing_stream(ID) is None


@pytest.mark.rule("SEN-2", "SEN-8", "P4")
@settings(max_examples=60)
@given(SENTINELS, RECORDS)
def test_whatever_the_keys_hold_every_call_answers(sentinel: str | None, record: str) -> None:
    async def ask() -> None:
        async with world() as here:
            if sentinel is not None:
                await here.raw.set(SENTINEL, sentinel, ttl=600)
            await here.raw.set(OUTCOME, record, ttl=600)
            context, _ = here.instance(lease=2, handshake_timeout=1, outage_timeout=3)
            async with asyncio.timeout(120):
                told = await answers(context)
            outcome = Outcome.decode(record)
            if sentinel == "DONE" and outcome is None:
                assert told["resume"] is ProducerLostError
            if sentinel is None:
                assert (told["exists"], told["resume"]) == (None, NOT_FOUND)
                assert told["join"] == ["fresh"]

    run_in_virtual_time(ask())


class Play:
    """One stream with two readers: one beside its producer, and one on another instance."""

    def __init__(self, source: Source, elsewhere: ResumableStreamContext, *readers: object) -> None:
        self.source = source
        self.elsewhere = elsewhere
        self.readers = readers

    @classmethod
    async def open(cls, here: World, **options: int) -> Play:
        source, local, _ = await begin(here, "a", **options)
        elsewhere, _ = here.instance()
        play = cls(source, elsewhere, local, await elsewhere.resume_existing_stream(ID))
        await asyncio.sleep(0.1)
        return play

    async def end(self) -> list[object]:
        """End the stream; return what both readers get, and what a call after the end gets."""
        self.source.put("b")
        self.source.finish()
        early = await asyncio.gather(*(answer(as_call(stream)) for stream in self.readers))
        return [*early, await answer(self.elsewhere.resume_existing_stream(ID))]


async def as_call(stream: object) -> object:
    return stream


@pytest.mark.rule("SEN-8", "P3")
@unreadable
@in_virtual_time
async def test_a_complete_stream_is_complete_whatever_record_stood_there(record: str) -> None:
    async with world() as here:
        play = await Play.open(here)
        await here.raw.set(OUTCOME, record, ttl=600)
        assert await play.end() == [["a", "b"], ["a", "b"], None]


@pytest.mark.rule("SEN-4", "SEN-8", "P3")
@unreadable
@in_virtual_time
async def test_a_record_beside_a_lost_sentinel_does_not_stop_the_end(record: str) -> None:
    async with world() as here:
        play = await Play.open(here)
        await here.raw.set(OUTCOME, record, ttl=600)
        await here.raw.delete(SENTINEL)
        assert await play.end() == [["a", "b"], ["a", "b"], None]


def spoil(broker: Broker, at: str, there: dict[str, str], *, lose_reply: bool) -> None:
    """Let another program write ``there`` right after the producer's write of its end to ``at``."""
    write = broker._write
    left = 1

    async def write_and_spoil(key: str, value: str, *more: Any) -> bool:
        nonlocal left
        written = await write(key, value, *more)
        if left and key == at and (key == OUTCOME or value == "DONE"):
            left -= 1
            for other, spoilt in there.items():
                await broker.set(other, spoilt, ttl=600)
            if lose_reply:
                raise OutcomeUnknownError("executed, but who knows")
        return written

    patched: Any = broker
    patched._write = write_and_spoil


@pytest.mark.rule("SEN-8", "P3")
@unreadable
@pytest.mark.parametrize("at", [OUTCOME, SENTINEL], ids=["outcome", "done"])
@pytest.mark.parametrize("lose_reply", [False, True], ids=["answered", "unanswered"])
@in_virtual_time
async def test_a_record_spoiled_at_the_end_does_not_take_the_end_from_readers(
    record: str,
    at: str,
    lose_reply: bool,  # noqa: FBT001 - pytest passes it by name
) -> None:
    async with world() as here:
        play = await Play.open(here)
        spoil(here.brokers[0], at, {OUTCOME: record, SENTINEL: "DONE"}, lose_reply=lose_reply)
        told = await play.end()
        # The call after the end has only the spoiled record, which does not tell the ending.
        assert told == [["a", "b"], ["a", "b"], ProducerLostError]


@pytest.mark.rule("LSN-5", "P3")
@in_virtual_time
async def test_a_reader_that_meets_a_spoiled_record_waits_for_the_producers_word() -> None:
    async with world() as here:
        source, local, _ = await begin(here, "a")
        elsewhere, _ = here.instance()
        remote = await elsewhere.resume_existing_stream(ID)
        await here.raw.set(OUTCOME, "junk", ttl=600)
        await here.raw.set(SENTINEL, "DONE", ttl=600)
        assert isinstance(remote, ResumableStream)
        here.brokers[0].away = True
        source.finish()
        assert await rest(local) == ["a"]
        await asyncio.sleep(LEASE * 0.75)
        here.brokers[0].reconnect()
        assert await rest(remote) == ["a"]


@pytest.mark.rule("LSN-5", "P4")
@in_virtual_time
async def test_a_reader_that_meets_a_spoiled_record_waits_for_one_lease() -> None:
    async with world() as here:
        await begin(here, "a")
        elsewhere, _ = here.instance()
        remote = await elsewhere.resume_existing_stream(ID)
        here.brokers[0].drop = lambda _channel, _message: True
        await here.raw.set(OUTCOME, "junk", ttl=600)
        await here.raw.set(SENTINEL, "DONE", ttl=600)
        began = loop_time()
        assert await answer(as_call(remote)) is ProducerLostError
        assert LEASE < loop_time() - began < 3 * LEASE


def change_after_each_look(broker: Broker, key: str, value_of: Callable[[int], str]) -> None:
    get, counted = broker.get, itertools.count(1)

    async def get_and_change(asked: str) -> str | None:
        found = await get(asked)
        if asked == key:
            await broker.set(key, value_of(next(counted)), ttl=600)
        return found

    patched: Any = broker
    patched.get = get_and_change


@pytest.mark.rule("SEN-8", "P4")
@in_virtual_time
async def test_a_record_that_changes_at_each_look_holds_the_end_up_for_a_bounded_time(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with world() as here:
        play = await Play.open(here, outage_timeout=5)
        await here.raw.set(OUTCOME, "junk", ttl=600)
        change_after_each_look(here.brokers[0], OUTCOME, "junk {}".format)
        told = await play.end()
        assert told[:2] == [["a", "b"], ["a", "b"]]
    assert "could not be recorded" in caplog.text
    assert repr(OUTCOME) in caplog.text


@pytest.mark.rule("SEN-3", "P4")
@in_virtual_time
async def test_a_sentinel_that_is_counted_in_at_each_look_is_renewed_later() -> None:
    async with world() as here:
        claim = Claim(ID, shared_on(here.raw))
        assert await claim.take()
        value = claim.generation << 20
        await here.raw.set(SENTINEL, str(value + 1), ttl=600)
        change_after_each_look(here.raw, SENTINEL, lambda count: str(value + 1 + count))
        for step in (claim.renew, claim.release, lambda: claim.finish(1, Ending(Status.LOST))):
            with pytest.raises(BackendUnavailableError, match="try again"):
                await step()
        patched: Any = here.raw
        del patched.get
        await claim.renew()
        await claim.finish(1, Ending(Status.LOST))
        assert await here.sentinel() == "DONE"
