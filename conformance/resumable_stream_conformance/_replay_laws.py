"""The promises about kept text: after its end a stream is there, whole, and ends as it ended."""

from __future__ import annotations

from resumable_stream import NOT_FOUND, DeleteResult, StreamState
from resumable_stream.errors import ProducerLostError, StreamCancelledError, StreamFailedError
from resumable_stream_conformance._journal_backend_laws import kept_by
from resumable_stream_conformance._stage import (
    CHUNKS,
    Source,
    Stage,
    read,
    read_to_error,
    read_until,
    units,
)
from resumable_stream_conformance._suite import rule

HALF = 30
LATE = 55
DURABILITIES = ("exit", "async", "sync")


class ReplayLaws(Stage):
    """P1, P2, P3, P5, P8, P12: streams that are over, and whose text is kept."""

    @rule("P1", "P2", "P12", needs="journal")
    async def test_whole_text_is_there_after_the_end(self) -> None:
        """What has completed is read whole on any instance, chunk by chunk, and ends normally."""
        for durability in DURABILITIES:
            here = await self.instance(durability=durability)
            name, source = f"stream {durability}", Source()
            stream = await here.context.resumable_stream(name, source)
            assert stream is not None
            assert await read(stream) == list(CHUNKS)
            await here.context.wait_for_end(name)
            await here.context.aclose()
            late = await self.instance()
            replayed = await late.context.resume_existing_stream(name)
            assert replayed
            assert await read(replayed) == list(CHUNKS)
            assert replayed.offset == units(source.text)
            status = await late.context.stream_status(name)
            assert (status.state, status.kept_until is None) == (StreamState.COMPLETED, False)

    @rule("P1", "P2", "P12", needs="journal")
    async def test_kept_text_is_resumed_at_every_place(self) -> None:
        """After the end each event id and each offset leads to the text from there on."""
        here = await self.instance(durability="async")
        stream, places = await here.start(Source()), list[str]()
        text = "".join(CHUNKS)
        for _ in CHUNKS:
            assert stream.last_event_id is not None
            places.append(stream.last_event_id)
            await anext(stream)
        await read(stream)
        await here.context.aclose()
        late = await self.instance()
        for number, place in enumerate(places):
            resumed = await late.resume(last_event_id=place)
            assert resumed.last_event_id == place
            assert await read(resumed) == list(CHUNKS[number:])
        encoded = text.encode("utf-16-le")
        for offset in {units(text[:length]) for length in range(0, len(text), 5)}:
            rest = "".join(await read(await late.resume(offset)))
            assert rest.encode("utf-16-le") == encoded[2 * offset :]

    @rule("P3", "P12", needs="journal")
    async def test_failure_is_replayed(self) -> None:
        """A failed stream gives the text before its failure, on any instance, and then fails."""
        here = await self.instance(durability="async")
        await here.start(source := Source(CHUNKS[:HALF], error=KeyError("no such model")))
        await here.until_over(StreamState.FAILED)
        await here.context.aclose()
        late = await self.instance()
        chunks, error = await read_to_error(await late.resume(), StreamFailedError)
        assert "".join(chunks) == source.text
        assert (error.error_type, error.error_message) == ("KeyError", "'no such model'")

    @rule("P3", "P9", "P12", needs="journal")
    async def test_cancellation_is_replayed(self) -> None:
        """A cancelled stream gives the text that it had, and then that it was cancelled."""
        here = await self.instance(durability="sync")
        source = Source(hold_at=HALF)
        await read_until(await here.start(source), source.before(HALF))
        await here.context.cancel_stream("stream")
        await here.context.aclose()
        late = await self.instance()
        chunks, _ = await read_to_error(await late.resume(), StreamCancelledError)
        assert "".join(chunks) == source.before(HALF)

    @rule("P3", "P12", needs="journal")
    async def test_unfinished_text_is_replayed_as_lost(self) -> None:
        """A stream whose context was closed gives its text, and then that its producer is lost."""
        here = await self.instance(durability="exit")
        source = Source(hold_at=HALF)
        await here.start(source)
        await source.reached.wait()
        await here.context.aclose(drain_timeout=0.0)
        late = await self.instance()
        chunks, error = await read_to_error(await late.resume(), ProducerLostError)
        assert "".join(chunks) == source.before(HALF)
        assert error.offset == units(source.before(HALF))

    @rule("P3", needs="journal")
    async def test_replay_may_be_declined(self) -> None:
        """With ``replay=False`` a stream that has completed gives None, as without a journal."""
        here = await self.instance(durability="async")
        await read(await here.start(Source()))
        await here.until_over(StreamState.COMPLETED)
        for instance in (here, await self.instance()):
            context = instance.context
            assert await context.resume_existing_stream("stream", replay=False) is None
            assert await context.resumable_stream("stream", Source(), replay=False) is None

    @rule("P5", "P12", needs="journal")
    async def test_kept_stream_is_not_produced_again(self) -> None:
        """Who starts a stream that is kept gets its text; its source is not run again."""
        here, there = await self.instances(2, durability="async")
        await read(await here.start(Source()))
        await here.until_over(StreamState.COMPLETED)
        again = Source(("another",))
        for instance in (here, there):
            assert await read(await instance.start(again)) == list(CHUNKS)
        assert again.runs == 0

    @rule("P1", "P7", "P12", needs="journal")
    async def test_trimmed_text_is_read_from_the_journal(self) -> None:
        """What a producer no longer buffers is read from the journal, and the rest from it."""
        here = await self.instance(durability="sync", buffer_limit=100)
        there = await self.instance()
        source = Source(hold_at=LATE)
        await here.start(source)
        newest = await there.resume(units(source.before(LATE - 1)))
        assert await read(newest, 1) == [CHUNKS[LATE - 1]]
        readers = [await instance.resume(0) for instance in (here, there)]
        source.go.set()
        for reader in readers:
            assert await read(reader) == list(CHUNKS)
        journal = there.backend.journal
        assert journal is not None
        assert journal.calls["read"] > 0, "nothing was trimmed"

    @rule("P1", "P2", "P7", "P12", needs="journal")
    async def test_reader_that_is_left_behind_goes_on(self) -> None:
        """A reader whose producer drops the text ahead of it reads the journal, then live again."""
        here = await self.instance(durability="sync", buffer_limit=1000)
        there = await self.instance(window=4096)
        lines = [f"{number}:" + 500 * "x" for number in range(60)]
        source = Source(lines, hold_at=LATE)
        readers = [await here.start(source), await there.resume(0)]
        for reader in readers:
            assert await read(reader, 1) == lines[:1]
        newest = await there.resume(units(source.before(LATE - 1)))
        assert await read(newest, 1) == [lines[LATE - 1]]
        for instance, reader in zip((here, there), readers, strict=True):
            assert await read(reader, LATE - 1) == lines[1:LATE]
            assert reader.offset == units(source.before(LATE))
            journal = instance.backend.journal
            assert journal is not None
            assert journal.calls["read"] > 0, "the reader was not left behind"
        source.go.set()
        for reader in readers:
            assert await read(reader) == lines[LATE:]

    @rule("P3", "P12", needs="journal")
    async def test_deleted_stream_is_gone(self) -> None:
        """Any instance erases a stream that is over: its text, its end, and that it was there."""
        here, there = await self.instances(2, durability="async")
        await read(await here.start(Source()))
        await here.until_over(StreamState.COMPLETED)
        generation = (await there.context.stream_status("stream")).generation
        log = f"{self.namespace}:rs:journal:{generation}:stream"
        assert await kept_by(there.backend).read(log, 0, max_bytes=1)
        assert await there.context.delete_stream("stream") is DeleteResult.DELETED
        assert await kept_by(there.backend).read(log, 0, max_bytes=1) == []
        for instance in (there, await self.instance()):
            assert await instance.context.resume_existing_stream("stream") is NOT_FOUND
            assert await instance.context.delete_stream("stream") is DeleteResult.NOT_FOUND
        again = Source(("another",))
        assert await read(await there.start(again)) == ["another"]
        assert again.runs == 1

    @rule("P8", needs="journal")
    async def test_journal_is_not_called_without_durability(self) -> None:
        """A stream without a durability costs no call on the journal, whoever reads it."""
        here, there = await self.instances(2)
        source = Source(hold_at=HALF)
        local = await here.start(source)
        remote = await there.resume()
        source.go.set()
        assert await read(local) == await read(remote) == list(CHUNKS)
        await there.until_over(StreamState.COMPLETED)
        assert await there.context.resume_existing_stream("stream") is None
        for instance in (here, there):
            journal = instance.backend.journal
            assert journal is not None
            assert not journal.calls

    @rule("P8", needs="journal")
    async def test_much_text_is_one_record(self) -> None:
        """With ``"exit"`` the journal is called once for a text, and no key is written besides."""
        bare = await self.instance(lease=60)
        keeping = await self.instance(lease=60, durability="exit")
        for name, instance in (("bare", bare), ("kept", keeping)):
            stream = await instance.context.resumable_stream(name, Source())
            assert stream is not None
            await read(stream)
            await instance.context.wait_for_end(name)
        journal = keeping.backend.journal
        assert journal is not None
        assert journal.calls == {"append": 1}
        assert keeping.backend.writes == bare.backend.writes
