"""The promises about text: exact, in the source's own chunks, from any offset, on any instance."""

from __future__ import annotations

import asyncio

import pytest

from resumable_stream.errors import (
    InvalidOffsetError,
    OffsetOutOfRangeError,
    StreamHistoryChangedError,
)
from resumable_stream_conformance._stage import CHUNKS, Source, Stage, read, read_until, units
from resumable_stream_conformance._suite import rule

HALF = 30


class ExactLaws(Stage):
    """P1, P2, P7: what readers receive."""

    @rule("P1", "P2")
    async def test_remote_reader_gets_every_chunk(self) -> None:
        """A reader on another instance gets the source's own chunks, replayed and live."""
        here, there = await self.instances(2)
        source = Source(hold_at=HALF)
        local = await here.start(source)
        await source.reached.wait()
        remote = await there.start(source)
        await read_until(remote, source.before(HALF))
        late = await there.resume()
        source.go.set()
        assert await read(local) == list(CHUNKS)
        assert await read(late) == list(CHUNKS)
        assert "".join(await read(remote)) == "".join(CHUNKS[HALF:])
        assert source.runs == 1

    @rule("P1", "P2")
    async def test_resumes_where_the_reader_stopped(self) -> None:
        """Text read up to an offset, and text resumed there elsewhere, make the whole text."""
        first, *others = await self.instances(3)
        source = Source(hold_at=len(CHUNKS))
        await first.start(source)
        await source.reached.wait()
        for turn, count in enumerate((1, 7, HALF, 58)):
            reader = await others[turn % 2].resume()
            begun = await read(reader, count)
            assert begun == list(CHUNKS[:count])
            assert reader.offset == units("".join(begun))
            await reader.aclose()
            rest = await others[(turn + 1) % 2].resume(reader.offset)
            assert rest.offset == reader.offset
            await read_until(rest, "".join(CHUNKS[count:]))
            assert rest.offset == units(source.text)

    @rule("P1", "P2")
    async def test_offset_cuts_first_chunk_only(self) -> None:
        """An offset inside a chunk gives the rest of that chunk, then the source's own chunks."""
        here, there = await self.instances(2)
        source = Source(["0123", "", "45\U0001f60089", "abc"], hold_at=4)
        await here.start(source)
        await source.reached.wait()
        for instance in (here, there):
            for offset, chunks in (
                (2, ["23", "45\U0001f60089", "abc"]),
                (6, ["\U0001f60089", "abc"]),
                (8, ["89", "abc"]),
                (10, ["abc"]),
                (12, ["c"]),
            ):
                reader = await instance.resume(offset)
                heard = await read_until(reader, "".join(chunks))
                assert [chunk for chunk in heard if chunk] == chunks

    @rule("P1")
    async def test_offset_inside_a_pair_is_refused(self) -> None:
        """An offset that would cut a surrogate pair is an error, for local and remote readers."""
        here, there = await self.instances(2)
        source = Source(["0\U0001f6003", "4"], hold_at=2)
        await here.start(source)
        await source.reached.wait()
        for instance in (here, there):
            with pytest.raises(InvalidOffsetError):
                await read(await instance.resume(2), 1)

    @rule("P1")
    async def test_code_points_count_characters(self) -> None:
        """With ``offset_unit="code-points"`` an offset counts what Python's ``len`` does."""
        here, there = await self.instances(2, offset_unit="code-points")
        source = Source(["0\U0001f6002", "3\U0001f6005", "6"], hold_at=3)
        await here.start(source)
        await source.reached.wait()
        for instance in (here, there):
            for offset in range(8):
                reader = await instance.resume(offset)
                await read_until(reader, source.text[offset:])
                assert reader.offset == 7

    @rule("P1")
    async def test_offset_beyond_the_end_waits(self) -> None:
        """A reader with an offset beyond the present end waits until the text gets there."""
        here, there = await self.instances(2)
        source = Source(hold_at=HALF)
        await here.start(source)
        await source.reached.wait()
        offset = units(source.before(HALF + 5))
        readers = [await instance.resume(offset) for instance in (here, there)]
        source.go.set()
        for reader in readers:
            assert "".join(await read(reader)) == "".join(CHUNKS[HALF + 5 :])

    @rule("P1", "P3")
    async def test_offset_beyond_the_text_ends(self) -> None:
        """A reader that waits at an offset that the stream never reaches gets only the ending."""
        here, there = await self.instances(2)
        source = Source(hold_at=HALF)
        await here.start(source)
        await source.reached.wait()
        readers = [await i.resume(units(source.text) + 10) for i in (here, there)]
        source.go.set()
        for reader in readers:
            assert await read(reader) == []

    @rule("P1", "P2")
    async def test_event_id_resumes_at_next_chunk(self) -> None:
        """``last_event_id`` resumes after the chunk it was taken at, without a cut."""
        here, there = await self.instances(2)
        source = Source(hold_at=HALF)
        await here.start(source)
        await source.reached.wait()
        resumed = []
        for begins, goes_on in ((here, there), (there, here), (there, there)):
            reader = await begins.resume()
            assert await read(reader, 7) == list(CHUNKS[:7])
            event_id = reader.last_event_id
            assert event_id
            await reader.aclose()
            again = await goes_on.resume(last_event_id=event_id)
            assert again.offset == units(source.before(7))
            resumed.append(again)
        source.go.set()
        for again in resumed:
            assert await read(again) == list(CHUNKS[7:])

    @rule("P1")
    async def test_event_id_of_other_run_is_refused(self) -> None:
        """A ``last_event_id`` of an earlier run says that the history changed."""
        here, there = await self.instances(2, done_ttl=2.0)
        source = Source(hold_at=HALF)
        reader = await here.start(source)
        await read(reader, 3)
        event_id = reader.last_event_id
        await here.context.cancel_stream("stream")
        await here.backend.delete(self.sentinel)
        again = Source(hold_at=HALF)
        await there.start(again)
        await again.reached.wait()
        for instance in (here, there):
            with pytest.raises(StreamHistoryChangedError):
                await read(await instance.resume(last_event_id=event_id))

    @rule("P1")
    async def test_many_readers_get_the_same(self) -> None:
        """Readers get the text from their offset on, whenever and wherever they come."""
        instances = await self.instances(4)
        source = Source((*CHUNKS, *CHUNKS), pause=0.005)
        await instances[0].start(source)

        async def follow(number: int) -> None:
            await asyncio.sleep(number * 0.02)
            skipped = source.before(number * 4)
            reader = await instances[number % 4].resume(units(skipped))
            assert skipped + "".join(await read(reader)) == source.text

        await asyncio.gather(*map(follow, range(16)))

    @rule("P1")
    async def test_large_chunks_cross_in_pieces(self) -> None:
        """A chunk larger than ``max_message_size`` arrives as one chunk."""
        here, there = await self.instances(2)
        size = min(here.backend.max_message_size, 2**21) * 2 + 1
        source = Source(["small", "\u540d" * (size // 3), "x" * size, "end"], hold_at=1)
        await here.start(source)
        reader = await there.resume()
        source.go.set()
        chunks = await read(reader)
        same = chunks == list(source.chunks)
        assert same, f"got chunks of {[len(chunk) for chunk in chunks]} characters"

    @rule("P1", "P7")
    async def test_slow_reader_misses_nothing(self) -> None:
        """A remote reader that pauses while much text is produced still gets all of it."""
        here, there = await self.instances(2)
        source = Source([f"{number}:" + "x" * 2000 for number in range(2500)], hold_at=10)
        local = await here.start(source)
        slow = await there.resume()
        begun = await read(slow, 5)
        source.go.set()
        assert len(await read(local)) == len(source.chunks)
        rest = await read(slow)
        same = begun + rest == list(source.chunks)
        assert same, f"got {len(begun) + len(rest)} chunks of {len(source.chunks)}"

    @rule("P7")
    async def test_trimmed_offset_is_out_of_range(self) -> None:
        """Text beyond the buffer's limit is trimmed, and an offset in it is truthfully refused."""
        here, there = await self.instances(2, buffer_limit=1000)
        source = Source([f"{number:09}\n" for number in range(300)], hold_at=300)
        await here.start(source)
        await source.reached.wait()
        for instance in (here, there):
            with pytest.raises(OffsetOutOfRangeError) as caught:
                await read(await instance.resume(0), 1)
            start = caught.value.start
            assert start is not None
            assert 0 < start <= units(source.text)
            await read_until(await instance.resume(start), source.text[start:])

    @rule("P1")
    async def test_timed_out_read_loses_nothing(self) -> None:
        """Reading with ``wait_for`` gives every chunk once, although some waits time out."""
        here, there = await self.instances(2)
        source = Source(pause=0.01)
        await here.start(source)
        for reader in (await here.resume(), await there.resume()):
            chunks: list[str] = []
            while len(chunks) < len(CHUNKS):
                try:
                    chunks.append(await asyncio.wait_for(anext(reader), 0.004))
                except TimeoutError:
                    continue
            assert chunks == list(CHUNKS)
